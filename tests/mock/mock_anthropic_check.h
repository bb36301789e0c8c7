// SPDX-License-Identifier: Apache-2.0
// What Anthropic refuses of a Messages request; parts of mock_anthropic.c.
#ifndef SLUICE_MOCK_ANTHROPIC_CHECK_H
#define SLUICE_MOCK_ANTHROPIC_CHECK_H

#include "tests/mock/mock_shape.h"

enum mock_claude {
    MOCK_CLAUDE_FORMAT = 1u << 0,   // structured output
    MOCK_CLAUDE_ENABLED = 1u << 1,  // thinking of type enabled
    MOCK_CLAUDE_ADAPTIVE = 1u << 2, // ... adaptive
    MOCK_CLAUDE_DISABLED = 1u << 3, // ... disabled
    MOCK_CLAUDE_BETWEEN = 1u << 4,  // ... between_tools
    MOCK_CLAUDE_FORCED = 1u << 5,   // tool_choice any and tool
    MOCK_CLAUDE_SAMPLING = 1u << 6, // temperature, top_p, top_k
    MOCK_CLAUDE_PREFILL = 1u << 7,
    MOCK_CLAUDE_SYSTEM = 1u << 8,  // role system in messages
    MOCK_CLAUDE_ONE = 1u << 9,     // not temperature and top_p together
    MOCK_CLAUDE_HIDDEN = 1u << 10, // thinking is omitted unless asked for
    MOCK_CLAUDE_ALWAYS = 1u << 11, // thinks although nobody asks
};

struct mock_claude_model {
    const char *part; // of the model's name; the first row that fits counts
    uint32_t max_tokens;
    uint32_t can; // enum mock_claude
};

bool mock_anthropic_check(struct mock_request *q);
// The messages: roles, blocks, pairs of tool_use and tool_result, signatures. Sets wants.answered
// and the results.
bool mock_anthropic_turns(struct mock_request *q, const struct mock_claude_model *m);

#endif
