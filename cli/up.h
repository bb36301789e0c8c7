// SPDX-License-Identifier: Apache-2.0
// `sluice up`: a private Redis, the control plane, one proxy (and the mock provider for a demo) on
// this machine.
#ifndef SLUICE_CLI_UP_H
#define SLUICE_CLI_UP_H

// The words behind `sluice up`. Returns the exit code when everything has stopped.
int up_main(int argc, char **argv);

#endif
