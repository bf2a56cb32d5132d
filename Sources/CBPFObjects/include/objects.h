#ifndef REMORA_OBJECTS_H
#define REMORA_OBJECTS_H

/* The compiled BPF programs (make bpf), embedded: the binary needs no other file on a NIC. */
extern const unsigned char remora_port_object[];
extern const unsigned long remora_port_object_size;
extern const unsigned char remora_proxy_object[];
extern const unsigned long remora_proxy_object_size;

#endif
