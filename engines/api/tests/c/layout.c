/* Prints the size of each struct of the header and the offset of each of its fields, and each constant's value. */
#include "multiwasm_engine.h"

#include <stdio.h>

#define SIZE(type) printf(#type " %zu\n", sizeof(type));
#define OFFSET(type, field) printf(#type "." #field " %zu\n", offsetof(type, field));
#define VALUE(name) printf(#name " %llu\n", (unsigned long long)(name));

int main(void) {
#include "layout.inc"
    return 0;
}
