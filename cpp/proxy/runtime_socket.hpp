#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "dataserver/data_server.hpp"

namespace scistream::proxy {

/// Sends one command to a program's Unix socket and reads all that it answers. Tries again until
/// the program listens; `timeout` names the path if there is no whole answer within `limit`.
/// Once `asker` is gone it does not try again (`cancelled`): what listens there next is another run
/// of the program, which has to do with newer commands. `done` comes once, on the context, never
/// from within this call.
void ask_runtime(boost::asio::io_context& context, std::string path, std::string command,
                 std::chrono::seconds limit, std::weak_ptr<const void> asker,
                 dataserver::Callback<std::string> done);

}  // namespace scistream::proxy
