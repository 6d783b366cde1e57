/*
** annotate.h - what clang's thread-safety analysis is told: which lock guards what, and which
** functions take, give or want one. `make lint` compiles the engine with -Wthread-safety; other
** compilers see nothing of it.
*/
#ifndef MP_ANNOTATE_H
#define MP_ANNOTATE_H

#if defined(__clang__)
#define MP_ANNOTATION(x) __attribute__((x))
#else
#define MP_ANNOTATION(x)
#endif

#define MP_CAPABILITY MP_ANNOTATION(capability("mutex"))             /* the type is a lock */
#define MP_TAKES(...) MP_ANNOTATION(acquire_capability(__VA_ARGS__)) /* returns with it held */
#define MP_GIVES(...) MP_ANNOTATION(release_capability(__VA_ARGS__))
#define MP_HOLDS(...) MP_ANNOTATION(requires_capability(__VA_ARGS__)) /* the caller holds it */
#define MP_FREE_OF(...) MP_ANNOTATION(locks_excluded(__VA_ARGS__))    /* the caller does not */
/* For what the analysis cannot follow: the comment beside it says why that is well. */
#define MP_UNCHECKED MP_ANNOTATION(no_thread_safety_analysis)

/*
** A field that is touched under the lock only, which is a field of the same struct. In C, clang can
** read the lock's name from version 20 on, with -fexperimental-late-parse-attributes; give it
** -DMP_LATE_PARSE then. For others it is a comment, and the functions' annotations are what counts.
*/
#if defined(MP_LATE_PARSE)
#define MP_GUARDED_BY(lock) MP_ANNOTATION(guarded_by(lock))
#else
#define MP_GUARDED_BY(lock)
#endif

#endif
