#include "shim.h" /* a C target needs a source: here it also checks the header's static assertions */
