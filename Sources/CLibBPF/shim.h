#ifndef REMORA_CLIBBPF_SHIM_H
#define REMORA_CLIBBPF_SHIM_H

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#endif
