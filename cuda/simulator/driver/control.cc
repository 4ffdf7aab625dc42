#pragma GCC visibility push(default)
#include "driver/control.h"
#pragma GCC visibility pop

#include "driver/driver.h"

using namespace simulator::driver;

size_t simulatorFindings() {
  return locked([](Driver& all) { return all.journal.findings().size(); });
}

const char* simulatorFinding(size_t index) {
  return locked([&](Driver& all) {
    const auto& findings = all.journal.findings();
    return index < findings.size() ? findings[index].c_str() : nullptr;
  });
}

void simulatorClearFindings() {
  locked([](Driver& all) { all.journal.clear(); });
}

uint64_t simulatorCallCount() {
  return locked([](Driver& all) { return all.calls; });
}

size_t simulatorPending(int device) {
  return locked([&](Driver& all) {
    size_t pending = 0;
    for (const Stream* stream : all.device(device).all_streams()) pending += stream->queue.size();
    return pending;
  });
}

void simulatorReportLeaks() {
  locked([](Driver& all) { all.report_all_leaks(); });
}

void simulatorRestart() {
  locked([](Driver& all) { all.restart(); });
}
