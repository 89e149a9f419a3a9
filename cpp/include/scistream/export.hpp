#pragma once

/// Stands before what the shared libraries let others link to; everything else stays inside.
#define SCISTREAM_EXPORT __attribute__((visibility("default")))
