#include "cli/node.hpp"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <sstream>
#include <vector>

#include "base/secret.hpp"
#include "net/fd.hpp"
#include "net/tls_record.hpp"

namespace scistream::cli {

namespace {

/// The queueing discipline of every interface, as the kernel lists them; of one with several
/// queues, that of its queues.
std::map<std::string, std::string> queues() {
  std::map<std::string, std::string> found;
  const net::Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  struct {
    nlmsghdr header;
    tcmsg message;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETQDISC;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  if (!socket || ::send(socket.get(), &request, sizeof request, 0) < 0) return found;
  std::array<char, 32768> buffer;
  for (;;) {
    ssize_t size = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (size <= 0) return found;
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data());
         NLMSG_OK(header, static_cast<std::size_t>(size)); header = NLMSG_NEXT(header, size)) {
      if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR) return found;
      const auto* queue = static_cast<const tcmsg*>(NLMSG_DATA(header));
      std::array<char, IF_NAMESIZE> name{};
      if (::if_indextoname(static_cast<unsigned>(queue->tcm_ifindex), name.data()) == nullptr)
        continue;
      auto left = static_cast<int>(header->nlmsg_len - NLMSG_LENGTH(sizeof *queue));
      for (const auto* part = reinterpret_cast<const rtattr*>(queue + 1); RTA_OK(part, left);
           part = RTA_NEXT(part, left)) {
        if (part->rta_type != TCA_KIND) continue;
        const std::string kind = static_cast<const char*>(RTA_DATA(part));
        std::string& known = found[name.data()];
        // Whichever does not pace is the one that counts.
        if (kind != "mq" && (known.empty() || kind != "fq")) known = kind;
      }
    }
  }
}

std::uint64_t new_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return 0;
  const net::Fd out(ends[0]);
  const net::Fd in(ends[1]);
  ::fcntl(in.get(), F_SETPIPE_SZ, 1 << 20);
  return static_cast<std::uint64_t>(std::max(0, ::fcntl(in.get(), F_GETPIPE_SZ)));
}

/// Whether the kernel counts this process's pipes: in a namespace of users it does even root's.
bool has_room_for_any_pipe() {
  std::ifstream map("/proc/self/uid_map");
  std::uint64_t inside = 1;
  std::uint64_t outside = 1;
  std::uint64_t size = 0;
  if (!(map >> inside >> outside >> size) || inside != 0 || outside != 0 || size < UINT32_MAX)
    return false;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("CapEff:")) continue;
    const auto capabilities = std::strtoull(line.c_str() + 7, nullptr, 16);
    constexpr unsigned sys_admin = 21;
    constexpr unsigned sys_resource = 24;
    return (capabilities & (1ULL << sys_admin | 1ULL << sys_resource)) != 0;
  }
  return false;
}

bool has_cipher_instructions() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("flags") && !line.starts_with("Features")) continue;
    std::istringstream words(line);
    for (std::string word; words >> word;)
      if (word == "aes") return true;
  }
  return false;
}

bool clock_is_set() {
  timex state{};
  return ::adjtimex(&state) >= 0 && (static_cast<unsigned>(state.status) & STA_UNSYNC) == 0;
}

double cipher_speed() {
  const auto used = [] {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);  // whatever else this machine does
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  };
  constexpr double enough = 0.05;
  net::RecordWriter writer(net::RecordKey(net::Ciphersuite::aes_128_gcm, Secret::random(32), true));
  std::vector<std::uint8_t> record(net::tls::most_record);
  const double start = used();
  std::uint64_t bytes = 0;
  do {
    writer.seal(record.data(), net::tls::most_content);
    bytes += net::tls::most_content;
  } while (used() - start < enough);
  return static_cast<double>(bytes) * 1e-9 / (used() - start);
}

}  // namespace

Node this_node() {
  Node node;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) node.open_files = files.rlim_cur;
  node.privileged = has_room_for_any_pipe();
  node.pipe_bytes = new_pipe();
  node.clock_is_set = clock_is_set();
  node.cipher_gb_per_s = cipher_speed();
  node.cipher_instructions = has_cipher_instructions();
  node.queue = queues();
  return node;
}

}  // namespace scistream::cli
