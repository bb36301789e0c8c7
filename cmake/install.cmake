# SPDX-License-Identifier: Apache-2.0
include(GNUInstallDirs)
install(TARGETS sluice-proxy RUNTIME COMPONENT dataplane)
install(TARGETS sluice-control RUNTIME COMPONENT controlplane)
install(TARGETS sluice sluice-mock RUNTIME COMPONENT cli)
install(DIRECTORY catalog DESTINATION ${CMAKE_INSTALL_DATADIR}/sluice COMPONENT controlplane)
