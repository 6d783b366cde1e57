#!/bin/sh
# Compiles every file of the engine as plain C11, and a C++ program that includes each public header, with gcc and clang.
set -eu
strict="-pedantic -Wall -Wextra -Werror -Iengine -fsyntax-only"
for cc in gcc clang; do
  for file in engine/*.c; do
    $cc -std=c11 $strict "$file"
  done
done
for cxx in g++ clang++; do
  for standard in c++17 c++20; do
    $cxx -x c++ -std=$standard $strict tests/ports/header.cpp
  done
done
echo "pedantic: engine as C11, makeparallel.h as C++17 and C++20"
