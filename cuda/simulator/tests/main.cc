#include "machine/launch.h"

int main() { return 0; }
