// The declarations of the real driver, so that the compiler checks every signature. Functions are named as the library
// exports them ("cuMemAlloc_v2"): without the macro of the first line the header renames them.
#pragma once

#define __CUDA_API_VERSION_INTERNAL
#define __CUDA_API_PUSH_VISIBILITY_DEFAULT
#include <cuda.h>
