// Settings of the sanitizers, compiled into every test program so that ctest, a debugger and a
// bare run agree. The environment (ASAN_OPTIONS and so on) still overrides each of them.

// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the sanitizers' names
#define SCISTREAM_HOOK extern "C" __attribute__((visibility("default"), used)) const char*

SCISTREAM_HOOK __asan_default_options() {
  return "halt_on_error=1:detect_stack_use_after_return=1:strict_string_checks=1:"
         "check_initialization_order=1:detect_leaks=1";
}

SCISTREAM_HOOK __ubsan_default_options() { return "halt_on_error=1:print_stacktrace=1"; }

SCISTREAM_HOOK __tsan_default_options() {
  return "halt_on_error=1:second_deadlock_stack=1:history_size=4";
}

// Debian's gRPC, Abseil and Protobuf are not instrumented: ThreadSanitizer sees their memory
// accesses through interceptors but not the locks of theirs that order them.
SCISTREAM_HOOK __tsan_default_suppressions() {
  return "called_from_lib:libgrpc.so\n"
         "called_from_lib:libgrpc++.so\n"
         "called_from_lib:libgpr.so\n"
         "called_from_lib:libprotobuf.so\n"
         "called_from_lib:libabsl_*.so\n";
}
// NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
