#include "objects.h"

/* Eight-byte alignment: libbpf reads the ELF image in place. */
_Alignas(8) const unsigned char remora_port_object[] = {
#embed "../../.build/bpf/port.bpf.o"
};
const unsigned long remora_port_object_size = sizeof(remora_port_object);

_Alignas(8) const unsigned char remora_proxy_object[] = {
#embed "../../.build/bpf/proxy.bpf.o"
};
const unsigned long remora_proxy_object_size = sizeof(remora_proxy_object);
