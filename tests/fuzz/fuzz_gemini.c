// SPDX-License-Identifier: Apache-2.0
// See provider_rig.h.
#include "tests/fuzz/provider_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return rig_run(&dialect_gemini, data, size);
}
