// Stand-in for libcuda.so.1 on a machine without a GPU, with which cuDNN builds plans for GPUs by their properties: it
// compiles kernels itself and loads them here. cudnn_plans.cpp uses it.

#include <cstdio>
#include <cstring>

namespace {

constexpr int success = 0, no_device = 100;
int something = 0;

}  // namespace

extern "C" {

int cuLibraryLoadData(void** library, const void* code, ...) {
  if (std::memcmp(code,
                  "\x7f"
                  "ELF",
                  4) != 0)
    return no_device;
  *library = &something;
  return success;
}
int cuLibraryGetKernel(void** kernel, void*, const char* name) {
  std::printf("  %s\n", name);
  *kernel = &something;
  return success;
}
int cuLibraryUnload(void*) { return success; }
int cuKernelSetAttribute(int, int, void*, int) { return success; }
int cuGetErrorString(int, const char** text) {
  *text = "there is no GPU";
  return success;
}

// Further functions that cuDNN looks up.
#define ABSENT(name) \
  int name() { return no_device; }
ABSENT(cuCtxGetCurrent)
ABSENT(cuCtxGetDevice)
ABSENT(cuCtxGetLimit)
ABSENT(cuCtxPopCurrent)
ABSENT(cuCtxPushCurrent)
ABSENT(cuDeviceGet)
ABSENT(cuDeviceGetAttribute)
ABSENT(cuDeviceGetCount)
ABSENT(cuDevicePrimaryCtxRelease)
ABSENT(cuDevicePrimaryCtxReset)
ABSENT(cuDevicePrimaryCtxRetain)
ABSENT(cuDriverGetVersion)
ABSENT(cuFuncGetAttribute)
ABSENT(cuFuncSetAttribute)
ABSENT(cuGetErrorName)
ABSENT(cuInit)
ABSENT(cuKernelGetAttribute)
ABSENT(cuKernelGetFunction)
ABSENT(cuLaunchCooperativeKernel)
ABSENT(cuLaunchKernel)
ABSENT(cuLaunchKernelEx)
ABSENT(cuLibraryLoadFromFile)
ABSENT(cuLinkAddData)
ABSENT(cuLinkAddData_v2)
ABSENT(cuLinkAddFile_v2)
ABSENT(cuLinkComplete)
ABSENT(cuLinkCreate)
ABSENT(cuLinkCreate_v2)
ABSENT(cuLinkDestroy)
ABSENT(cuMemcpyDtoH_v2)
ABSENT(cuModuleGetFunction)
ABSENT(cuModuleGetGlobal_v2)
ABSENT(cuModuleLoadData)
ABSENT(cuModuleLoadDataEx)
ABSENT(cuModuleLoadFatBinary)
ABSENT(cuModuleUnload)
ABSENT(cuOccupancyMaxActiveBlocksPerMultiprocessor)
ABSENT(cuOccupancyMaxPotentialClusterSize)
ABSENT(cuStreamGetCtx)
ABSENT(cuStreamSynchronize)
ABSENT(cuTensorMapEncodeTiled)
}
