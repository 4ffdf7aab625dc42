// What tests ask of the stand-in driver beside the driver's own functions; found by dlsym like those.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {
// How many findings there are since the last restart or clearing.
size_t simulatorFindings();
// The text of one; valid until the next call of the simulator. Null beyond the last.
const char* simulatorFinding(size_t index);
void simulatorClearFindings();
// Calls of the driver since the last restart.
uint64_t simulatorCallCount();
// Operations that wait in the streams of a device.
size_t simulatorPending(int device);
// Reports what still lives, as at the end of the process.
void simulatorReportLeaks();
// Forgets everything and reads the environment anew: as if the process had just begun. All handles become invalid.
void simulatorRestart();
}
