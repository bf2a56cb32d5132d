/* What the BPF programs and the agent share: every struct, constant and reason code, once.
 * Included by BPF/ (clang -target bpf) and imported by Swift as the module CRemoraABI.
 * Addresses and ports are in network byte order, everything else in host order. */
#ifndef REMORA_ABI_H
#define REMORA_ABI_H

#include <linux/types.h>

/* Raise with every change of a struct below: pinned maps of another version are not adopted. */
#define REMORA_ABI_VERSION 4

#define REMORA_MAX_SERVICES 16384	     /* slots of proxies, generations and service_counters */
#define REMORA_CARRY_OUT REMORA_MAX_SERVICES /* slot of proxies behind the services': what carries a decision out */
#define REMORA_MAX_PORTS 255		     /* slots of port_states; counters has REMORA_MAX_REASONS a port and hook */
#define REMORA_MAX_REASONS 64
#define REMORA_MAX_BACKENDS 256		/* of one proxy program */
#define REMORA_MAX_PROXY_SERVICES 64	/* of one proxy program */
#define REMORA_NAME_BYTES 256		/* of a service's name, its end included */
#define REMORA_MAX_VLANS 16		/* VLAN to network mappings of one port */
#define REMORA_MAX_POLICY_PREFIXES 4096 /* of one proxy program */
#define REMORA_MAX_POLICY_RULES 16	/* port rules that share a source prefix */
#define REMORA_MAGLEV_SIZE 1021		/* prime, see Maglev (Eisenbud et al., NSDI 2016), 3.4 */
#define REMORA_ADVERT_BYTES 65600	/* longest copied frame: 64 KiB of IP and its link header */
#define REMORA_PROBE_BYTES 3072		/* of those, of what is said on the agent's own connections */
#define REMORA_CB_MAGIC 0x52454d4fu	/* skb->cb[0]: this packet went through a proxy on this node */
#define REMORA_EGRESS_PORT 0xff		/* port of a flow that was first seen on its way to the guest */
#define REMORA_ANY_BACKEND 0xffff	/* frontend of a VIP: any backend of the service */

/* Why a packet left the port program. Each packet that enters is counted under exactly one; one that was redirected and
 * lost on its way is counted again, under DROP_KERNEL. Codes are indexes into pinned counters: new ones go last.
 * X(code, name, text): the name is what counters, metrics and the CLI print. */
#define REMORA_REASONS(X)                                                                              \
	X(PASS_NOT_OURS, "not-ours", "belongs to no mesh service: handed on untouched")                \
	X(PASS_UNPARSED, "unparsed", "headers cut short or malformed: handed on untouched")            \
	X(PASS_NOT_IPV4, "not-ipv4", "neither IPv4 nor ARP: handed on untouched")                      \
	X(PASS_NOT_TCP, "not-tcp", "IPv4 but not TCP: handed on untouched")                            \
	X(PASS_FRAGMENT, "fragment", "IPv4 fragment to no mesh address: handed on untouched")          \
	X(PASS_UNKNOWN_VLAN, "unknown-vlan", "VLAN of no configured network: handed on untouched")     \
	X(PASS_OBSERVED, "observed", "port or service in observe mode: handed on untouched")           \
	X(PASS_CHECKED, "checked", "egress: its proxy was asked already, or it is an answer that was") \
	X(FORWARDED, "forwarded", "established flow: translated and handed on")                        \
	X(OPENED, "opened", "new flow: allowed, backend chosen, handed on")                            \
	X(ARP_ANSWERED, "arp-answered", "ARP request for a VIP: answered by the NIC")                  \
	X(PROBE_ANSWERED, "probe-answered", "answer to the agent's own probe: taken off the wire")     \
	X(DROP_POLICY, "policy-denied", "a policy rule denies this source")                            \
	X(DROP_DRAINING, "draining", "new connection to a service that is going away")                 \
	X(DROP_NO_BACKEND, "no-backend", "the service has no live backend")                            \
	X(DROP_NO_FLOW, "no-flow", "not a SYN, and no such flow through this VIP")                     \
	X(DROP_NO_PROXY, "no-proxy", "the service's proxy program is not loaded")                      \
	X(DROP_FLOWS_FULL, "flows-full", "the flow table is full: new flows are refused")              \
	X(DROP_HALF_OPEN, "half-open-quota", "too many half-open flows from this port")                \
	X(DROP_PORT_CLASH, "port-clash", "no free source port towards the backend")                    \
	X(DROP_FRAGMENT, "fragment-denied", "TCP fragment to a mesh address: it would pass by policy") \
	X(DROP_HAIRPIN, "hairpin", "the only backend is the sender itself")                            \
	X(DROP_KERNEL, "redirect-lost", "handed on straight to a port, and dropped by the kernel on its way there")

#define REMORA_REASON_CODE(code, name, text) REMORA_##code,
enum remora_reason { REMORA_REASONS(REMORA_REASON_CODE) REMORA_REASON_COUNT };
#undef REMORA_REASON_CODE
_Static_assert(REMORA_REASON_COUNT <= REMORA_MAX_REASONS, "counters has room for this many");
#define REMORA_FIRST_DROP REMORA_DROP_POLICY

enum remora_role { REMORA_ROLE_MIXED, REMORA_ROLE_UPLINK, REMORA_ROLE_VM, REMORA_ROLE_CONTAINER };
enum remora_mode { REMORA_MODE_OBSERVE, REMORA_MODE_ENFORCE };

/* How a packet reaches a port: through whatever switches, or straight to the device. */
enum remora_forwarding {
	REMORA_FORWARD_SWITCH,
	REMORA_FORWARD_REDIRECT,      /* bpf_redirect to the device's egress */
	REMORA_FORWARD_REDIRECT_PEER, /* bpf_redirect_peer: a veth whose peer is up in another namespace */
};

/* One direction of a connection, as it enters. */
struct remora_flow_key {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u16 network;
	__u8 protocol;
	__u8 pad; /* zero: it takes part in the hash */
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct remora_flow_key) == 16, "shared with Swift and with pinned maps");

enum remora_direction { REMORA_FORWARD, REMORA_REVERSE };

enum remora_flow_flag {
	REMORA_FLOW_ESTABLISHED = 1, /* of a request's: not half-open any more; of an answers': nobody waits for one */
	REMORA_FLOW_FIN = 2,	     /* this direction sent its FIN */
	REMORA_FLOW_RESET = 4,	     /* either direction sent a reset */
	REMORA_FLOW_SET_MAC = 8,     /* write mac: the frame was sent to the VIP's own */
	REMORA_FLOW_ACKED = 16,	     /* this direction acknowledged the other one's FIN */
	REMORA_FLOW_REWRITE = 64,    /* addresses or ports change */
	REMORA_FLOW_OTHER_FIN = 128, /* the other direction sent its FIN */
};

/* A SYN on such a flow is a new connection from a source port that is used again. */
#define REMORA_FLOW_ENDING (REMORA_FLOW_FIN | REMORA_FLOW_RESET | REMORA_FLOW_OTHER_FIN)

/* Entry of flows: what a packet of this direction becomes. One cache line: on such a map's pages they are aligned. */
struct remora_flow {
	struct remora_flow_key key;
	__u32 generation;   /* of the node, when the service was last found to have no newer one */
	__be32 address;	    /* after translation: FORWARD the destination, REVERSE the source; the other one stays */
	__be16 source_port; /* after translation, as the next one */
	__be16 destination_port;
	__u16 address_delta;	/* ones' complement sum, new minus old: addresses only (pseudo-header) */
	__u16 full_delta;	/* addresses and ports */
	__u8 mac[6];		/* destination, if REMORA_FLOW_SET_MAC */
	__u16 backend;		/* index in the proxy's backends */
	__u32 ifindex;		/* device to redirect to */
	__u32 seen;		/* low half of jiffies */
	__u16 service;		/* slot */
	__u8 forwarding;	/* enum remora_forwarding */
	__u8 direction;		/* enum remora_direction */
	__u8 flags;		/* enum remora_flow_flag */
	__u8 port;		/* slot of the port that the flow came in by */
	__u16 fin_acknowledged; /* with OTHER_FIN: low half of the number that acknowledges it, host order */
	__u32 packets;
	__u32 uncounted; /* not in the service's counters yet: 8 bits of packets, 24 of bytes */
};
_Static_assert(sizeof(struct remora_flow) == 64, "shared with Swift and with pinned maps");
_Static_assert(REMORA_MAX_SERVICES <= 1 << 16, "a slot fits remora_flow.service");

/* Packets of a flow that are counted for its service at once: its counters are a cache line of their own. */
#define REMORA_FLOW_BATCH 16
_Static_assert(REMORA_FLOW_BATCH *REMORA_ADVERT_BYTES < 1 << 24, "their bytes fit remora_flow.uncounted");

/* Value of flows. A free slot's key has protocol 0. */
#define REMORA_FLOW_WAYS 8
struct remora_flow_set {
	struct remora_flow ways[REMORA_FLOW_WAYS];
};

/* Value of flow_tags. A byte of `ways` for each slot: a part of the key's hash, not 0, and REMORA_FLOW_LIVE. Without
 * the latter the connection is over: its slot may be taken. 0: free; REMORA_FLOW_LIVE alone: changing hands. */
#define REMORA_FLOW_LIVE 0x80
struct remora_flow_tags {
	__u64 ways;
	__u64 spilled; /* of a set at the front: flows that it had no room for */
};

/* Entries of lingering: two for each ephemeral port that Linux has. */
#define REMORA_LINGERING 65536

/* What `forget` is given, up to REMORA_STALE_FLOWS of them (`purge`: of keys) as its packet: a flow that is over, as
 * the agent saw it. */
struct remora_stale_flow {
	struct remora_flow_key key;
	__u32 seen;   /* the flow's own */
	__u32 looked; /* jiffies when the agent did: a packet of either direction since then keeps both */
};
#define REMORA_STALE_FLOWS 128 /* a test run's packet fits a page, with its headroom */
_Static_assert(sizeof(struct remora_stale_flow) == 24, "shared with Swift");

/* Key of probes6, as the answer comes in: IPv6's remora_flow_key. Of ICMPv6 the destination port is an echo's
 * identifier, and the source of an advertisement is its target. */
struct remora_flow6_key {
	__u8 source[16];
	__u8 destination[16];
	__be16 source_port;
	__be16 destination_port;
	__u16 network;
	__u8 protocol;
	__u8 pad; /* zero: it takes part in the hash */
};
_Static_assert(sizeof(struct remora_flow6_key) == 40, "shared with Swift");

/* Key of frontends: what a proxy answers for. */
struct remora_frontend_key {
	__be32 address;
	__be16 port;
	__u16 network;
	__u8 protocol;
	__u8 pad[3];
};
_Static_assert(sizeof(struct remora_frontend_key) == 12, "shared with Swift and with pinned maps");

struct remora_frontend {
	__u32 service; /* slot: proxies, generations, service_counters */
	__u16 index;   /* of the service within its proxy program */
	__u16 backend; /* index in backends, or REMORA_ANY_BACKEND */
};

/* Key of vips and neighbours. */
struct remora_address {
	__be32 address;
	__u16 network;
	__u16 pad;
};

/* Value of neighbours: where an instance's address lives. */
struct remora_neighbour {
	__u8 mac[6];
	__u16 pad;
	__u32 ifindex;
};

/* Key of registries: traffic to or from it is copied to adverts. address 0: any. */
struct remora_registry_key {
	__u8 address[16]; /* IPv4 as ::ffff:a.b.c.d */
	__be16 port;
	__u16 network;
};

/* Value of port_states, by slot. */
struct remora_port {
	__u32 ifindex;
	__s32 half_open; /* flows from here that are not ESTABLISHED */
	__u32 half_open_quota;
	__u32 forwarding; /* how packets reach this port: enum remora_forwarding */
};

/* The one value of node. */
struct remora_node {
	__u32 abi_version;
	__u32 front_mask; /* sets at the front of flows, a power of two, less one */
	__u32 back_mask;  /* the same of those behind them */
	__u32 linger;	  /* how long lingering is believed, in jiffies */
	__u64 flow_seed;  /* of the sets' hash */
	__u32 generation; /* the newest of generations */
	__u32 pad;
};

/* Value of service_names, by slot: program names are cut at 15 characters, this one is not. */
struct remora_service {
	__u16 network;
	__u16 pad;
	char namespace_name[REMORA_NAME_BYTES]; /* as the registry has it, UTF-8 */
	char name[REMORA_NAME_BYTES];
};

/* Settings of a port program, constant once loaded. */
struct remora_port_config {
	__u32 ifindex;
	__u32 slot;
	__u16 network;	  /* of untagged frames */
	__u8 role;	  /* enum remora_role */
	__u8 mode;	  /* enum remora_mode */
	__u16 answer_arp; /* for VIPs */
	__u16 vlan_count;
	__u16 vlan_ids[REMORA_MAX_VLANS];
	__u16 vlan_networks[REMORA_MAX_VLANS];
	__u8 vip_mac[6];
	__u16 http_probe; /* the agent's probes may go on to a request: take every segment of theirs, and copy it */
};

/* Settings of a proxy program, constant once loaded. */
struct remora_proxy_config {
	__u32 has_policy; /* 0: the policy map is empty and is not looked up */
	__u32 service_count;
	__u32 slots[REMORA_MAX_PROXY_SERVICES]; /* of its services, by index: the agent reads them back */
	__u64 build;				/* hash of the object it was loaded from: another one is replaced */
};

/* Settings of losses, constant once loaded. */
struct remora_losses_config {
	__u64 namespace_cookie; /* of the network namespace that the node's ports are in: SO_NETNS_COOKIE */
	__u64 build;		/* hash of the object it was loaded from: another one is replaced */
};

/* Value of backends, by index. */
struct remora_backend {
	__be32 address;
	__be16 port;
	__u8 mac[6];
	__u32 ifindex;
	__u8 forwarding; /* how packets reach it: enum remora_forwarding */
	__u8 state;	 /* enum remora_backend_state */
	__u8 pad[6];
};
_Static_assert(sizeof(struct remora_backend) == 24, "shared with Swift and with pinned maps");

/* The packet's own entry in flows, as the port program found it. */
struct remora_known {
	__u32 number; /* its slot's; past the last one: there is no entry */
	__u8 forward; /* is of this direction, and not another connection's answers */
	__u8 ended;
	__be32 address; /* as in the entry, and those that follow */
	__be16 port;
	__be16 source_port;
	__u16 service;
	__u16 backend;
};

/* Value of decisions: what the programs on a first packet's way hand on. The port program asks, the service's proxy
 * answers, carry_out does it. */
struct remora_decision {
	struct remora_flow_key key;
	struct remora_frontend frontend;
	struct remora_known known;
	__u32 generation;   /* of the node, before anything was decided */
	__u32 hook;	    /* port slot * 2 + egress */
	__u16 l3_offset;    /* of the IP header */
	__u8 opens;	    /* a SYN */
	__u8 to_vip_mac;    /* the frame was sent to the VIP's own address */
	__u32 reason;	    /* the answer: OPENED, FORWARDED (the known flow goes on), PASS_NOT_OURS, or a drop */
	__be16 source_port; /* towards the backend, if nothing else holds it */
	__u16 backend_index;
	struct remora_backend backend;
};

enum remora_backend_state {
	REMORA_BACKEND_FREE,
	REMORA_BACKEND_LIVE,
	REMORA_BACKEND_DRAINING, /* established flows go on, new ones are refused */
	REMORA_BACKEND_GUARDED,	 /* gone from the mesh: only the policy on its address is kept */
};

/* Value of maglev, by index of the service: slots of the look-up table hold indexes of backends. */
struct remora_maglev {
	__u16 backends; /* that are live; 0: none */
	__u16 slots[REMORA_MAGLEV_SIZE];
	__u16 live[REMORA_MAX_BACKENDS]; /* each of them once */
};

/* Key of policy (LPM trie): the service's index whole, then a prefix of the source. */
struct remora_policy_key {
	__u32 prefix_length; /* bits of what follows: 32 + source prefix */
	__be32 index;
	__be32 source;
};

enum remora_policy_action { REMORA_POLICY_ALLOW, REMORA_POLICY_DENY };

struct remora_port_rule {
	__be16 port;   /* of the frontend; 0: any */
	__u8 protocol; /* 0: any */
	__u8 action;   /* enum remora_policy_action */
};

/* Value of policy: the first match holds. User space has merged the rules of shorter prefixes in, and fills the rest
 * with rules that match everything and say the default. */
struct remora_policy {
	struct remora_port_rule rules[REMORA_MAX_POLICY_RULES];
};

struct remora_counter {
	__u64 packets;
	__u64 bytes;
};

/* Value of service_counters. */
struct remora_service_counter { /* drops: by the service's proxy, under any reason */
	struct remora_counter forward;
	struct remora_counter reverse;
	__u64 connections;
	__u64 drops;
	__u64 pad[2]; /* to a cache line */
};

/* Index of ring_losses. */
enum remora_ring { REMORA_RING_ADVERTS, REMORA_RING_EVENTS, REMORA_RING_COUNT };

enum remora_advert_kind {
	REMORA_ADVERT_INGRESS,
	REMORA_ADVERT_EGRESS, /* seen on its way out (sent by the NIC itself) */
	REMORA_ADVERT_PROBE,  /* of a connection of the agent's own: for the prober, and no registry's */
};

/* Record of the ring adverts: this header, then `length` bytes of frame, tag included. */
struct remora_advert {
	__u64 time; /* CLOCK_MONOTONIC, ns */
	__u32 length;
	__u32 ifindex;
	__u16 port; /* slot */
	__u16 network;
	__u16 vlan; /* TCI's low 12 bits, 0: untagged */
	__u16 kind; /* enum remora_advert_kind */
};
_Static_assert(sizeof(struct remora_advert) == 24, "shared with Swift");

enum remora_event_kind {
	REMORA_EVENT_FLOW_OPENED,
	REMORA_EVENT_FLOW_CLOSED,
	REMORA_EVENT_DROP,
	REMORA_EVENT_PROBE_ANSWER,
	REMORA_EVENT_NEIGHBOUR_CHANGED, /* an instance's address was heard from another MAC or port */
};

/* Record of the ring events. */
struct remora_event {
	__u64 time;		    /* CLOCK_MONOTONIC, ns */
	__u32 kind;		    /* enum remora_event_kind */
	__u32 reason;		    /* enum remora_reason */
	struct remora_flow_key key; /* as the packet came in */
	__be32 backend_address;
	__be16 backend_port;
	__u16 port;    /* slot */
	__u32 service; /* slot; of a probe's answer: the probe's number */
	__u32 ifindex;
	__u8 mac[6]; /* the sender's: of probe answers and neighbours */
	__u8 ttl;
	__u8 tcp_flags;
	__u32 tcp_sequence;	/* host order */
	__u32 tcp_acknowledged; /* host order; of another probe's answer: what it was asked with */
};
_Static_assert(sizeof(struct remora_event) == 64, "shared with Swift");

#ifndef __bpf__
/* The reason's name, or NULL past the last. */
static inline const char *remora_reason_name(unsigned int reason)
{
#define REMORA_REASON_NAME(code, name, text) name,
	static const char *const names[] = {REMORA_REASONS(REMORA_REASON_NAME)};
#undef REMORA_REASON_NAME
	return reason < REMORA_REASON_COUNT ? names[reason] : 0;
}

/* The reason in a sentence, or NULL past the last. */
static inline const char *remora_reason_text(unsigned int reason)
{
#define REMORA_REASON_TEXT(code, name, text) text,
	static const char *const texts[] = {REMORA_REASONS(REMORA_REASON_TEXT)};
#undef REMORA_REASON_TEXT
	return reason < REMORA_REASON_COUNT ? texts[reason] : 0;
}
#endif
#endif
