// SPDX-License-Identifier: Apache-2.0
// What is left of a request: one access line, one usage record, its metrics. Never bodies, prompts
// or credentials.
#ifndef SLUICE_DATAPLANE_ACCESS_H
#define SLUICE_DATAPLANE_ACCESS_H

struct req;

// Once a request, by ACCOUNT.
void access_record(struct req *r);

// The first bytes of an attempt are about to be written: into the usage journal.
void access_attempt(struct req *r);

#endif
