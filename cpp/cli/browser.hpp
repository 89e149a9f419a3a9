#pragma once

#include <cstdio>
#include <string>

#include "base/error.hpp"
#include "client/oauth.hpp"

namespace scistream::cli {

/// Whether the user sees a terminal, and a screen where a browser can open.
bool has_browser();

/// Opens an address in the user's browser, as far as that can be known. The program that does it is
/// started without a shell and not waited for.
bool open_browser(const std::string& address);

/// What a user is to agree to.
struct LoginWish {
  client::Provider provider;
  std::string client_id;
  std::string scope;  ///< In full.
  bool device = false;
  bool no_browser = false;
};

/// Has the user log in: with a browser of this machine if there is one, else with one of another
/// device, else with a code that the user copies; what the user is to do goes to `out`. Blocks
/// until it is done, ten minutes at most where nobody types.
Result<client::Tokens> tokens_by_user(client::OAuth& oauth, const LoginWish& wish, std::FILE* out);

}  // namespace scistream::cli
