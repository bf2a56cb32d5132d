#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/if_packet.h> /* sockaddr_ll: Glibc leaves it out */
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
