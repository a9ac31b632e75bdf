// The core of hello-component.wasm, a preview 2 command: greets, says its arguments, exits with the code it is told.
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    printf("hello from a component\n");
    for (int i = 0; i < argc; i++) printf("%s\n", argv[i]);
    return argc > 1 ? atoi(argv[1]) : 0;
}
