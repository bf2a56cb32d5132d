#include "objects.h"

/* Eight-byte alignment: libbpf reads the ELF image in place. */
_Alignas(8) static const unsigned char port_image[] = {
#embed "../../.build/bpf/port.bpf.o"
};
_Alignas(8) static const unsigned char proxy_image[] = {
#embed "../../.build/bpf/proxy.bpf.o"
};
_Alignas(8) static const unsigned char losses_image[] = {
#embed "../../.build/bpf/losses.bpf.o"
};

const struct remora_object remora_port_object = {port_image, sizeof(port_image)};
const struct remora_object remora_proxy_object = {proxy_image, sizeof(proxy_image)};
const struct remora_object remora_losses_object = {losses_image, sizeof(losses_image)};
