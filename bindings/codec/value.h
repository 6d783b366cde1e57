/*
** value.h - Lua values as bytes, between two states of one process.
**
** A message is a list of values. Layout: version, flags, u32 count, then each value: a tag byte and
** what the table says. Numbers are in the machine's own order: a message never leaves the process.
**
**   tag                  then
**   NIL FALSE TRUE ENV   -                       ENV: the globals table
**   I8 I32 I64 F64       the number
**   STR8 STR32           length, bytes
**   TABLE                u32 array items, u32 pairs; the items, then key and value of each pair
**   META                 how to find the metatable (a CLASS or IMPORT; ENV: a new one, whose
**                        __index are the globals), then a TABLE or, for __mp_pack, PACKED and a
**                        value
**   REF                  u32: the n-th table or function of this message, again
**   IMPORT               i32 line in which a Lua function begins, or -1, u32 mark of its source,
**                        u8 + module, u8 + field (empty: the module itself)
**   CLASS                u8 + the name given to mp.class
**   FUNCTION             u32 attachment (its code), u8 upvalues; each UPVALUE and a value, or
**                        UPVALUE_REF and u32
**   SOURCE               u32 length, Lua source
**   HANDLE               u32 attachment (a task), then its name (a string or NIL)
**   DEPENDENCY           u32 attachment (a task): the first value it returned
**   POOL_REF             -                       the pool through which the message goes
**   SHARED_CACHE, SHARED_METER  u32 attachment   what all states share by reference
**
** FUNCTION, SOURCE and what stands below them are written and read by whoever has registered their
** kind (reference.h). Tables and functions are numbered in the order in which they begin. Flag
** SHARED says that a REF occurs, so that the decoder need not remember them otherwise. Attachments
** are counted references beside the bytes: what cannot be copied. So no byte of a message is ever a
** pointer or bytecode, and hostile bytes can do no more than name a module to require.
*/
#ifndef LMP_VALUE_H
#define LMP_VALUE_H

#include <stddef.h>
#include <stdint.h>

enum {
  LMP_NIL,
  LMP_FALSE,
  LMP_TRUE,
  LMP_ENV,
  LMP_I8,
  LMP_I32,
  LMP_I64,
  LMP_F64,
  LMP_STR8,
  LMP_STR32,
  LMP_TABLE,
  LMP_META,
  LMP_PACKED,
  LMP_REF,
  LMP_IMPORT,
  LMP_CLASS,
  LMP_FUNCTION,
  LMP_UPVALUE,
  LMP_UPVALUE_REF,
  LMP_SOURCE_TEXT,
  LMP_HANDLE_REF,
  LMP_DEPENDENCY,
  LMP_POOL_REF,
  LMP_SHARED_CACHE,
  LMP_SHARED_METER,
  LMP_TAG_COUNT,                 /* how many tags there are */
  LMP_UNNUMBERED = LMP_TAG_COUNT /* of an attachment that no byte refers to */
};

#define LMP_FORMAT_VERSION 1
#define LMP_FLAG_SHARED 1
#define LMP_HEADER_SIZE 6
#define LMP_DEPTH_MAX 200
#define LMP_MESSAGE_BYTES_MAX ((size_t)INT32_MAX)

#endif
