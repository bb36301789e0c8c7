// SPDX-License-Identifier: Apache-2.0
// Which behaviour an attempt gets: the port's mode, the x-mock header, the words in the model's
// name, the scenario, and the counters of fail-first-N. Thread-safe.
#ifndef SLUICE_MOCK_RULES_H
#define SLUICE_MOCK_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/slice.h"
#include "tests/mock/mock_behave.h"

struct mock_rules;

struct mock_rules *mock_rules_new(void);
void mock_rules_free(struct mock_rules **r);
// Scenario text: lines "PORT|* MODEL-PATTERN BEHAVIOUR", '#' comments; the first that matches a
// model without words of its own is used. Replaces the earlier one, or changes nothing on failure.
MUST_CHECK bool mock_rules_set_scenario(struct mock_rules *r, struct slice text, struct err *e);
// Behaviour of a port ("" = none). Checked first.
MUST_CHECK bool mock_rules_set_mode(struct mock_rules *r, uint16_t port, struct slice mode,
                                    struct err *e);
// header: value of x-mock or SLICE_NULL. dice: uniform in [0, 100).
MUST_CHECK bool mock_rules_resolve(struct mock_rules *r, uint16_t port, struct slice model,
                                   struct slice header, uint32_t dice, struct mock_behave *ret,
                                   struct err *e);
// Forgets the counters of fail-first and the modes of ports; the scenario stays.
void mock_rules_reset(struct mock_rules *r);

#endif
