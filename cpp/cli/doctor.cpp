#include "cli/doctor.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

namespace scistream::cli {

namespace {

using State = Finding::State;
namespace fs = std::filesystem;

constexpr std::uint64_t mebibyte = 1U << 20U;
constexpr std::uint64_t ten_gigabit = 10'000;  // Mbit/s

std::optional<std::string> read(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

/// The numbers of a line; empty if it cannot be read.
std::vector<std::uint64_t> numbers(const std::optional<std::string>& line) {
  std::vector<std::uint64_t> found;
  std::istringstream words(line.value_or(""));
  for (std::uint64_t number = 0; words >> number;) found.push_back(number);
  return found;
}

/// Those of a kernel's list, `0-3,8`.
std::set<std::uint64_t> members(const std::string& list) {
  std::set<std::uint64_t> found;
  std::istringstream parts(list);
  for (std::string part; std::getline(parts, part, ',');) {
    std::uint64_t first = 0;
    const char* end = part.data() + part.size();
    const auto [rest, error] = std::from_chars(part.data(), end, first);
    if (error != std::errc()) return {};
    std::uint64_t last = first;
    if (rest != end) {
      if (*rest != '-') return {};
      const auto [after, wrong] = std::from_chars(rest + 1, end, last);
      if (wrong != std::errc() || after != end) return {};
    }
    constexpr std::uint64_t most = 65536;
    for (std::uint64_t i = first; i <= std::min(last, first + most); ++i) found.insert(i);
  }
  return found;
}

std::string text(double value, int digits) {
  std::ostringstream out;
  out.setf(std::ios::fixed);
  out.precision(digits);
  out << value;
  return out.str();
}

std::string mib(std::uint64_t bytes) {
  return text(static_cast<double>(bytes) / static_cast<double>(mebibyte), 1) + " MiB";
}

std::string sysctl(const std::string& name, const std::string& value) {
  return "sysctl -w " + name + "=" + value;
}

/// A network interface that goes out of this machine and is up.
struct Interface {
  std::string name;
  std::uint64_t mtu = 0;
  std::int64_t mbps = -1;
  std::int64_t numa_node = -1;
  std::vector<std::string> interrupts;  ///< The cores that each is given to.
};

class Examination {
 public:
  Examination(const Node& node, const Purpose& purpose) : node_(node), purpose_(purpose) {}

  std::vector<Finding> all() {
    read_interfaces();
    open_files();
    pipes();
    socket_buffers();
    congestion_control();
    queueing();
    for (const Interface& each : interfaces_) {
      frames(each);
      interrupts(each);
    }
    backlog();
    ports();
    firewall();
    clock();
    frequency();
    cipher();
    return std::move(findings_);
  }

 private:
  [[nodiscard]] std::optional<std::string> setting(const std::string& name) const {
    std::string path = name;
    std::replace(path.begin(), path.end(), '.', '/');
    return read(node_.root / "proc/sys" / path);
  }

  void good(const std::string& check, const std::string& found) {
    findings_.push_back({check, State::good, found, {}});
  }
  void change(const std::string& check, const std::string& found, const std::string& remedy) {
    findings_.push_back({check, State::change, found, remedy});
  }
  void unknown(const std::string& check, const std::string& why) {
    findings_.push_back({check, State::unknown, why, {}});
  }

  void read_interfaces() {
    std::error_code ec;
    for (const auto& entry : fs::directory_iterator(node_.root / "sys/class/net", ec)) {
      // Those of hardware have a device.
      if (read(entry.path() / "operstate") != "up" || !fs::exists(entry.path() / "device", ec))
        continue;
      Interface found;
      found.name = entry.path().filename();
      const auto mtu = numbers(read(entry.path() / "mtu"));
      if (!mtu.empty()) found.mtu = mtu[0];
      std::istringstream(read(entry.path() / "speed").value_or("-1")) >> found.mbps;
      std::istringstream(read(entry.path() / "device/numa_node").value_or("-1")) >> found.numa_node;
      for (const auto& number : fs::directory_iterator(entry.path() / "device/msi_irqs", ec)) {
        const auto cores =
            read(node_.root / "proc/irq" / number.path().filename() / "smp_affinity_list");
        if (cores) found.interrupts.push_back(*cores);
      }
      interfaces_.push_back(std::move(found));
    }
    std::sort(interfaces_.begin(), interfaces_.end(),
              [](const Interface& a, const Interface& b) { return a.name < b.name; });
  }

  void open_files() {
    // A connection has two sockets, and while much is in transit two pipes.
    const std::uint64_t wanted = purpose_.connections * 6 + 256;
    const std::string found = std::to_string(node_.open_files);
    if (node_.open_files >= wanted) return good("open files", found);
    change("open files", found,
           std::to_string(purpose_.connections) + " connections may need " +
               std::to_string(wanted) + ": LimitNOFILE= in the unit, or ulimit -n");
  }

  void pipes() {
    const auto soft = numbers(setting("fs.pipe-user-pages-soft"));
    const auto most = numbers(setting("fs.pipe-max-size"));
    if (!most.empty() && most[0] < mebibyte && !node_.privileged) {
      return change(
          "pipes", mib(most[0]) + " each at most",
          "splice carries less at a time: " + sysctl("fs.pipe-max-size", std::to_string(mebibyte)));
    }
    if (!node_.privileged && !soft.empty() && soft[0] != 0) {
      const std::uint64_t full = soft[0] * 4096 / mebibyte;
      // Only directions amid a batch have one.
      const std::uint64_t wanted = std::min<std::uint64_t>(purpose_.connections, 512);
      if (full < wanted) {
        return change("pipes", "this user has room for " + std::to_string(full) + " of 1 MiB",
                      "further ones are small, and slow: " +
                          sysctl("fs.pipe-user-pages-soft", std::to_string(wanted * 256)) +
                          ", or AmbientCapabilities=CAP_SYS_RESOURCE in the unit");
      }
    }
    if (node_.pipe_bytes < mebibyte)
      return change("pipes", "a new one has " + std::to_string(node_.pipe_bytes >> 10U) + " KiB",
                    "this user's pipes are used up: raise fs.pipe-user-pages-soft");
    good("pipes", "1 MiB each");
  }

  void socket_buffers() {
    const double bytes =
        static_cast<double>(purpose_.mbps) * 1e6 / 8 * purpose_.round_trip_ms * 1e-3;
    // A window of TCP is no larger, whatever the buffers.
    constexpr std::uint64_t largest_window = 1ULL << 30U;
    const auto path = std::min(static_cast<std::uint64_t>(bytes), largest_window);
    if (bytes > static_cast<double>(largest_window)) {
      change("window",
             std::to_string(purpose_.mbps) + " Mbit/s over " + text(purpose_.round_trip_ms, 1) +
                 " ms in one connection",
             "TCP has at most 1 GiB under way in one: use several");
    }
    const std::string what = std::to_string(purpose_.mbps) + " Mbit/s over " +
                             text(purpose_.round_trip_ms, 1) + " ms are " + mib(path) +
                             " under way: ";
    // The receiver's counts its own overhead too, hence twice as much.
    for (const auto& [name, factor] :
         {std::pair{"net.ipv4.tcp_rmem", 2U}, std::pair{"net.ipv4.tcp_wmem", 1U}}) {
      const auto values = numbers(setting(name));
      const std::string check = factor == 2 ? "receive buffers" : "send buffers";
      if (values.size() != 3) {
        unknown(check, std::string(name) + " cannot be read");
        continue;
      }
      constexpr std::uint64_t most = INT32_MAX;  // that the kernel takes
      const std::uint64_t wanted = std::min(path * factor, most);
      if (values[2] >= wanted) {
        good(check, "up to " + mib(values[2]));
        continue;
      }
      change(
          check, "up to " + mib(values[2]),
          what + sysctl(name, "\"" + std::to_string(values[0]) + " " + std::to_string(values[1]) +
                                  " " + std::to_string(wanted) + "\""));
    }
  }

  void congestion_control() {
    const auto used = setting("net.ipv4.tcp_congestion_control");
    if (!used) return unknown("congestion control", "it cannot be read");
    const std::string available = setting("net.ipv4.tcp_available_congestion_control").value_or("");
    constexpr double long_path_ms = 5;
    if (*used != "bbr" && purpose_.round_trip_ms >= long_path_ms) {
      const std::string load =
          available.find("bbr") == std::string::npos ? "modprobe tcp_bbr; " : "";
      return change("congestion control", *used,
                    "one lost packet slows a long path down for long: " + load +
                        sysctl("net.ipv4.tcp_congestion_control", "bbr"));
    }
    good("congestion control", *used);
  }

  void queueing() {
    const bool paces = setting("net.ipv4.tcp_congestion_control") == "bbr";
    for (const Interface& each : interfaces_) {
      const auto found = node_.queue.find(each.name);
      if (found == node_.queue.end()) {
        unknown("pacing on " + each.name, "its queue is not known");
      } else if (!paces || found->second == "fq") {
        good("pacing on " + each.name, found->second);
      } else {
        change("pacing on " + each.name, found->second,
               "bbr without fq sets a timer for every packet, on the cores that do the work: " +
                   sysctl("net.core.default_qdisc", "fq") + "; tc qdisc replace dev " + each.name +
                   " root fq, or root mq if it has several queues");
      }
    }
    const auto usual = setting("net.core.default_qdisc");
    if (!paces || !usual) return;
    if (*usual == "fq") return good("queue of new interfaces", *usual);
    change("queue of new interfaces", *usual, sysctl("net.core.default_qdisc", "fq"));
  }

  void frames(const Interface& each) {
    constexpr std::uint64_t jumbo = 9000;
    const std::string check = "frames of " + each.name;
    if (each.mtu >= jumbo || each.mbps < static_cast<std::int64_t>(ten_gigabit))
      return good(check, std::to_string(each.mtu) + " B");
    change(check, std::to_string(each.mtu) + " B at " + std::to_string(each.mbps) + " Mbit/s",
           "fewer packets cost less, if the whole path takes them: ip link set " + each.name +
               " mtu 9000");
  }

  void interrupts(const Interface& each) {
    if (each.interrupts.empty()) return;  // a virtual one
    const std::string check = "interrupts of " + each.name;
    std::set<std::uint64_t> cores;
    for (const std::string& list : each.interrupts) cores.merge(members(list));
    if (each.interrupts.size() > 1 && cores.size() == 1) {
      return change(
          check, "all at core " + std::to_string(*cores.begin()),
          "that core limits the interface: irqbalance, or set_irq_affinity of its driver");
    }
    if (each.numa_node >= 0) {
      const auto local = members(read(node_.root / "sys/devices/system/node" /
                                      ("node" + std::to_string(each.numa_node)) / "cpulist")
                                     .value_or(""));
      const bool far = std::any_of(cores.begin(), cores.end(), [&local](std::uint64_t core) {
        return !local.empty() && !local.contains(core);
      });
      if (far) {
        return change(check, "also at cores far from it",
                      "keep them, and s2ds, on NUMA node " + std::to_string(each.numa_node) +
                          ": NUMAPolicy= and CPUAffinity= in the unit");
      }
    }
    good(check,
         std::to_string(each.interrupts.size()) + " at " + std::to_string(cores.size()) + " cores");
  }

  void backlog() {
    const auto most = numbers(setting("net.core.somaxconn"));
    if (most.empty()) return unknown("connections that wait", "net.core.somaxconn is not readable");
    constexpr std::uint64_t wanted = 1024;
    if (most[0] >= wanted) return good("connections that wait", std::to_string(most[0]));
    change("connections that wait", std::to_string(most[0]),
           "bursts of connections are dropped: " +
               sysctl("net.core.somaxconn", std::to_string(wanted * 4)));
  }

  void ports() {
    if (purpose_.ports.empty()) return;
    const auto leased = members(purpose_.ports);
    const auto range = numbers(setting("net.ipv4.ip_local_port_range"));
    if (leased.empty() || range.size() != 2)
      return unknown("port range", leased.empty() ? "'" + purpose_.ports + "' is not a range"
                                                  : "the system's cannot be read");
    const auto list = setting("net.ipv4.ip_local_reserved_ports").value_or("");
    const auto reserved = members(list);
    const bool taken = std::any_of(leased.begin(), leased.end(), [&](std::uint64_t port) {
      return port >= range[0] && port <= range[1] && !reserved.contains(port);
    });
    if (!taken) return good("port range", purpose_.ports);
    change("port range", purpose_.ports,
           "the kernel gives these to outgoing connections as well (" + std::to_string(range[0]) +
               "-" + std::to_string(range[1]) + "): " +
               sysctl("net.ipv4.ip_local_reserved_ports",
                      (list.empty() ? "" : list + ",") + purpose_.ports));
  }

  void firewall() {
    const auto tables = read(node_.root / "proc/net/ip_tables_names");
    const auto tracked = numbers(setting("net.netfilter.nf_conntrack_max"));
    if (!tracked.empty() && tracked[0] < purpose_.connections * 4) {
      return change(
          "firewall", "tracks " + std::to_string(tracked[0]) + " connections at most",
          "further ones are dropped: " +
              sysctl("net.netfilter.nf_conntrack_max", std::to_string(purpose_.connections * 8)));
    }
    if (tables || !tracked.empty())
      return good("firewall", "there is one: the control port and " +
                                  (purpose_.ports.empty() ? "the leased ports" : purpose_.ports) +
                                  " must be open");
    unknown("firewall", "none seen, which says little: nftables shows nothing here");
  }

  void clock() {
    if (node_.clock_is_set) return good("clock", "follows a reference");
    change("clock", "follows no reference",
           "certificates and answers to hello depend on it: chrony or systemd-timesyncd");
  }

  void frequency() {
    const auto governor = read(node_.root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    if (!governor || *governor == "performance")
      return good("frequency of the cores", governor.value_or("not set by this system"));
    change("frequency of the cores", *governor,
           "they are slow when a burst begins: cpupower frequency-set -g performance");
  }

  void cipher() {
    const double cores = 12.5 / std::max(node_.cipher_gb_per_s, 1e-3);
    const std::string found = text(node_.cipher_gb_per_s, 1) + " GB/s a core: 100 Gbit/s take " +
                              text(cores, 1) + " cores of it";
    if (node_.cipher_instructions) return good("cipher", found);
    change("cipher", found,
           "the processor has no AES instructions, or this virtual machine is not given them");
  }

  const Node& node_;
  const Purpose& purpose_;
  std::vector<Interface> interfaces_;
  std::vector<Finding> findings_;
};

}  // namespace

std::string to_string(Finding::State state) {
  switch (state) {
    case State::good: return "good";
    case State::change: return "change";
    case State::unknown: return "unknown";
  }
  return {};
}

std::vector<Finding> examine(const Node& node, const Purpose& purpose) {
  return Examination(node, purpose).all();
}

}  // namespace scistream::cli
