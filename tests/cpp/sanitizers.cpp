// Settings of the sanitizers, compiled into every test program so that ctest, a debugger and a
// bare run agree. The environment (ASAN_OPTIONS and so on) still overrides each of them.

// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the sanitizers' names
#define SCISTREAM_HOOK extern "C" __attribute__((visibility("default"), used)) const char*

SCISTREAM_HOOK __asan_default_options() {
  return "halt_on_error=1:detect_stack_use_after_return=1:strict_string_checks=1:"
         "check_initialization_order=1:detect_leaks=1"
#ifdef SCISTREAM_TEST_LINKS_GRPC
         // Else who allocated what libcrypto holds is not known, below.
         ":fast_unwind_on_malloc=0"
#endif
      ;
}

// A thread of gRPC may be alive at the end, and with it what OpenSSL keeps for each thread: its
// errors and its random numbers.
SCISTREAM_HOOK __lsan_default_suppressions() { return "leak:ERR_\nleak:RAND_get0_\n"; }

SCISTREAM_HOOK __ubsan_default_options() { return "halt_on_error=1:print_stacktrace=1"; }

SCISTREAM_HOOK __tsan_default_options() {
  return "halt_on_error=1:second_deadlock_stack=1:history_size=4"
#ifdef SCISTREAM_TEST_LINKS_GRPC
         // Else a second is spent on each handful of reports that end up suppressed.
         ":ignore_noninstrumented_modules=1"
#endif
      ;
}

// Debian's gRPC, Abseil and Protobuf are not instrumented: ThreadSanitizer does not see the locks
// and atomics that order what they do, so a report with one of them in a stack says nothing. The
// layers below control/ are tested without them, and there nothing is suppressed.
SCISTREAM_HOOK __tsan_default_suppressions() {
  return "race:grpc\n"
         "race:libgrpc\n"
         "race:libgpr\n"
         "race:libabsl_\n"
         "race:google::protobuf\n"
         "race:libprotobuf\n"
         "deadlock:libgrpc\n"
         "deadlock:libabsl_\n";
}
// NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
