// What a program hands to cuModuleLoadData: PTX, or a fat binary that holds some.
#pragma once

#include <string>

#include "profiles/profiles.h"

namespace simulator::driver {

// The text of the PTX. Refuses images without any that the simulator could run on such a device.
std::string ptx_of_image(const void* image, const Profile& profile);

// Refuses PTX that is newer than the driver, or made for a newer or another device. 90: PTX 9.0.
void check_target(int version, const std::string& target, int driver_version, const Profile& profile);

}  // namespace simulator::driver
