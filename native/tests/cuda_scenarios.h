// What a process of its own does under an environment of its own: the driver's library is opened once a process, and is
// told by environment variables what to be.
#pragma once

#include <map>
#include <string>

namespace diffuse::testing {

// Runs a scenario, in this process, and prints what happens. False where there is none of that name.
bool run_scenario(const std::string& name);

// Runs it in a new process with these variables set; what it and the driver printed. Fails if it crashes.
std::string scenario(const std::string& name, const std::map<std::string, std::string>& environment);

}  // namespace diffuse::testing
