// What every kernel knows of a warp.
#pragma once

namespace diffuse::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

}  // namespace diffuse::cuda
