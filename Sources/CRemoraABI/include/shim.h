#include "../../../BPF/include/remora/abi.h"
