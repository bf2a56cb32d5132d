#ifndef REMORA_OBJECTS_H
#define REMORA_OBJECTS_H

/* The compiled BPF programs (make bpf), embedded: the binary needs no other file on a NIC. */
struct remora_object {
	const unsigned char *bytes;
	unsigned long size;
};

extern const struct remora_object remora_port_object;
extern const struct remora_object remora_proxy_object;
extern const struct remora_object remora_losses_object;

#endif
