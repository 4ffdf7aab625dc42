// What the host's code of the witnesses names of cuBLAS, so that their files compile where it is not installed. None of
// it is run.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <library_types.h>

#include <cstdint>

using cublasHandle_t = void*;
using cublasLtHandle_t = void*;
using cublasLtMatmulDesc_t = void*;
using cublasLtMatmulPreference_t = void*;
using cublasLtMatrixLayout_t = void*;
struct cublasLtMatmulHeuristicResult_t {
  int algo;
};
enum cublasStatus_t { CUBLAS_STATUS_SUCCESS };
enum cublasOperation_t { CUBLAS_OP_N, CUBLAS_OP_T };
enum cublasComputeType_t { CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_16F, CUBLAS_COMPUTE_32F_FAST_TF32 };
enum cublasMath_t { CUBLAS_DEFAULT_MATH, CUBLAS_TF32_TENSOR_OP_MATH };
enum cublasGemmAlgo_t { CUBLAS_GEMM_DEFAULT, CUBLAS_GEMM_DEFAULT_TENSOR_OP };
enum cublasLtEpilogue_t {
  CUBLASLT_EPILOGUE_DEFAULT,
  CUBLASLT_EPILOGUE_BIAS,
  CUBLASLT_EPILOGUE_GELU,
  CUBLASLT_EPILOGUE_GELU_BIAS
};
enum {
  CUBLASLT_MATMUL_DESC_TRANSA,
  CUBLASLT_MATMUL_DESC_TRANSB,
  CUBLASLT_MATMUL_DESC_EPILOGUE,
  CUBLASLT_MATMUL_DESC_BIAS_POINTER,
  CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES
};

#define WITNESS_HOST_FUNCTION(name)     \
  template <typename... Arguments>      \
  cublasStatus_t name(Arguments&&...) { \
    return CUBLAS_STATUS_SUCCESS;       \
  }
WITNESS_HOST_FUNCTION(cublasCreate)
WITNESS_HOST_FUNCTION(cublasDestroy)
WITNESS_HOST_FUNCTION(cublasSetMathMode)
WITNESS_HOST_FUNCTION(cublasSgemm)
WITNESS_HOST_FUNCTION(cublasSgemmStridedBatched)
WITNESS_HOST_FUNCTION(cublasGemmEx)
WITNESS_HOST_FUNCTION(cublasGemmStridedBatchedEx)
WITNESS_HOST_FUNCTION(cublasLtCreate)
WITNESS_HOST_FUNCTION(cublasLtDestroy)
WITNESS_HOST_FUNCTION(cublasLtMatmul)
WITNESS_HOST_FUNCTION(cublasLtMatmulAlgoGetHeuristic)
WITNESS_HOST_FUNCTION(cublasLtMatmulDescCreate)
WITNESS_HOST_FUNCTION(cublasLtMatmulDescDestroy)
WITNESS_HOST_FUNCTION(cublasLtMatmulDescSetAttribute)
WITNESS_HOST_FUNCTION(cublasLtMatmulPreferenceCreate)
WITNESS_HOST_FUNCTION(cublasLtMatmulPreferenceDestroy)
WITNESS_HOST_FUNCTION(cublasLtMatmulPreferenceSetAttribute)
WITNESS_HOST_FUNCTION(cublasLtMatrixLayoutCreate)
WITNESS_HOST_FUNCTION(cublasLtMatrixLayoutDestroy)
#undef WITNESS_HOST_FUNCTION
