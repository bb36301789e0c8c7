# SPDX-License-Identifier: Apache-2.0
# The flags every target of ours carries; `sluice_flags` is linked by each of them.
add_library(sluice_flags INTERFACE)
target_compile_definitions(sluice_flags INTERFACE _GNU_SOURCE)
target_include_directories(sluice_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(sluice_flags INTERFACE
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual
  -Wwrite-strings -Wformat=2 -Wswitch-enum -Wundef -Wvla -Wconversion -Wno-sign-conversion
  -fno-strict-aliasing -fstack-protector-strong)
if(SLUICE_WERROR)
  target_compile_options(sluice_flags INTERFACE -Werror)
endif()
if(SLUICE_SANITIZE)
  target_compile_options(sluice_flags INTERFACE -fsanitize=${SLUICE_SANITIZE}
    -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(sluice_flags INTERFACE -fsanitize=${SLUICE_SANITIZE})
endif()
if(SLUICE_FUZZ)
  # Coverage in the code under test too: without it libFuzzer sees only the target's own file.
  target_compile_options(sluice_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT SLUICE_SANITIZE)
  target_compile_options(sluice_flags INTERFACE -g1 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
    -fstack-clash-protection)
  target_link_options(sluice_flags INTERFACE -Wl,-z,relro,-z,now)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  target_link_options(sluice_flags INTERFACE $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie>)
  if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
  endif()
endif()
# Generated code (protobuf-c) is compiled without our warnings, with the same sanitizers.
add_library(sluice_generated_flags INTERFACE)
target_compile_options(sluice_generated_flags INTERFACE -w)
if(SLUICE_SANITIZE)
  target_compile_options(sluice_generated_flags INTERFACE -fsanitize=${SLUICE_SANITIZE})
endif()
