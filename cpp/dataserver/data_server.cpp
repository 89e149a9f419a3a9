#include "dataserver/data_server.hpp"

namespace scistream::dataserver {

Counters operator+(const Counters& earlier, const Counters& later) {
  Counters sum = later;
  sum.bytes_to_consumer += earlier.bytes_to_consumer;
  sum.bytes_to_producer += earlier.bytes_to_producer;
  sum.connections_active += earlier.connections_active;
  sum.connections_total += earlier.connections_total;
  sum.errors += earlier.errors;
  sum.refused += earlier.refused;
  return sum;
}

}  // namespace scistream::dataserver
