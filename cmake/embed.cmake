# SPDX-License-Identifier: Apache-2.0
# cmake -DOUT=file.c -DNAMES=a,b -DFILES=a.yaml,b.yaml -P embed.cmake: a C file with the bytes of
# each file as `const unsigned char NAME[]` and `const size_t NAME_size`.
string(REPLACE "," ";" NAMES "${NAMES}")
string(REPLACE "," ";" FILES "${FILES}")
set(text "// Made by cmake/embed.cmake.\n#include <stddef.h>\n")
foreach(name file IN ZIP_LISTS NAMES FILES)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(APPEND text "extern const unsigned char ${name}[];\nextern const size_t ${name}_size;\n"
    "const unsigned char ${name}[] = {${bytes}0};\nconst size_t ${name}_size = sizeof(${name}) - 1;\n")
endforeach()
file(WRITE ${OUT} "${text}")
