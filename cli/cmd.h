// SPDX-License-Identifier: Apache-2.0
// The subcommands. Each takes the words behind its name and returns the exit code: 0 ok, 1 failure,
// 2 usage.
#ifndef SLUICE_CLI_CMD_H
#define SLUICE_CLI_CMD_H

// keys list|get|create|rotate|disable|enable|delete
int cmd_keys(int argc, char **argv);
// provider-keys list|add|rotate|test|disable|enable|delete; values come from stdin, a file or a
// variable, never argv.
int cmd_provider_keys(int argc, char **argv);
// status, proxies, routers [NAME]
int cmd_status(int argc, char **argv);
int cmd_proxies(int argc, char **argv);
int cmd_routers(int argc, char **argv);
// recover --adopt
int cmd_recover(int argc, char **argv);
// config check FILE, docs; and what cmd_apply does
int cmd_config(int argc, char **argv);
// config diff|apply FILE, revisions, rollback SEQ, show: at a control plane
int cmd_apply(int argc, char **argv);
// requests [tail|ID], usage
int cmd_requests(int argc, char **argv);
int cmd_usage(int argc, char **argv);
// `sluice --check-config FILE`.
int cmd_check_config(const char *file);
// init DIR
int cmd_init(int argc, char **argv);
// rotate WHAT STEP DIR
int cmd_rotate(int argc, char **argv);
// mock: runs sluice-mock in place of this process
int cmd_mock(int argc, char **argv);

#endif
