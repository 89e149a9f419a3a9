#pragma once

// The whole library: `scistream::core` has the values and the relay, `scistream::client` the rest.

#include "scistream/app_controller.hpp"
#include "scistream/authenticator.hpp"
#include "scistream/client_options.hpp"
#include "scistream/control_server.hpp"
#include "scistream/data_server.hpp"
#include "scistream/endpoint.hpp"
#include "scistream/error.hpp"
#include "scistream/identity.hpp"
#include "scistream/log.hpp"
#include "scistream/relay.hpp"
#include "scistream/secret.hpp"
#include "scistream/session.hpp"
#include "scistream/session_key.hpp"
#include "scistream/user_client.hpp"
#include "scistream/version.hpp"
