/* alone-wasmedge WORD...: WasmEdge's own command, which its library holds: `compile MODULE OUT`, or MODULE ARGUMENT... */
#include <wasmedge/wasmedge.h>

int main(int argc, const char *argv[]) { return WasmEdge_Driver_UniTool(argc, argv); }
