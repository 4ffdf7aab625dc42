#pragma once

#include "ptx/body.h"

namespace simulator::ptx {

// Fills body.reconvergence.
void find_reconvergence(Body& body);

}  // namespace simulator::ptx
