#include "cli/doctor.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace scistream::cli {
namespace {

namespace fs = std::filesystem;
using State = Finding::State;

/// A machine of files in a folder of its own.
class Doctor : public ::testing::Test {
 protected:
  Doctor() {
    char name[] = "/tmp/scistream-doctor-XXXXXX";
    node_.root = ::mkdtemp(name);
    node_.open_files = 1'048'576;
    node_.pipe_bytes = 1U << 20U;
    node_.cipher_gb_per_s = 4;
    node_.queue = {{"eth0", "fq"}};
    write("proc/sys/fs/pipe-user-pages-soft", "16384");
    write("proc/sys/fs/pipe-max-size", "1048576");
    write("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t268435456");
    write("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t268435456");
    write("proc/sys/net/ipv4/tcp_congestion_control", "bbr");
    write("proc/sys/net/ipv4/tcp_available_congestion_control", "reno cubic bbr");
    write("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999");
    write("proc/sys/net/ipv4/ip_local_reserved_ports", "");
    write("proc/sys/net/core/default_qdisc", "fq");
    write("proc/sys/net/core/somaxconn", "4096");
    interface("mtu", "9000");
    interface("speed", "100000");
    interface("operstate", "up");
    interface("device/numa_node", "1");
    for (const char* number : {"40", "41"}) {
      interface("device/msi_irqs/" + std::string(number), "");
      write("proc/irq/" + std::string(number) + "/smp_affinity_list",
            number == std::string("40") ? "8" : "9");
    }
    write("sys/devices/system/node/node1/cpulist", "8-15");
    purpose_.connections = 32;
  }
  ~Doctor() override { fs::remove_all(node_.root); }

  void write(const fs::path& path, const std::string& line) const {
    fs::create_directories((node_.root / path).parent_path());
    std::ofstream(node_.root / path) << line << "\n";
  }
  void interface(const std::string& file, const std::string& line) const {
    write("sys/class/net/eth0/" + file, line);
  }
  Finding finding(const std::string& check) const {
    const auto all = examine(node_, purpose_);
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const Finding& each) { return each.check == check; });
    if (found == all.end()) throw std::runtime_error("nobody looked at " + check);
    return *found;
  }
  void expect_change(const std::string& check, const std::string& remedy) const {
    const Finding found = finding(check);
    EXPECT_EQ(found.state, State::change) << found.found;
    EXPECT_NE(found.remedy.find(remedy), std::string::npos) << found.remedy;
  }

  Node node_;
  Purpose purpose_;
};

TEST_F(Doctor, HasNothingToSayOfAGoodMachine) {
  purpose_.ports = "5000-5099";
  for (const Finding& each : examine(node_, purpose_)) {
    if (each.check == "firewall") continue;  // of which little is seen
    EXPECT_EQ(each.state, State::good) << each.check << ": " << each.found << ", " << each.remedy;
    EXPECT_FALSE(each.found.empty()) << each.check;
  }
}

TEST_F(Doctor, WantsDescriptorsForTheConnections) {
  node_.open_files = 1024;
  EXPECT_EQ(finding("open files").state, State::good);
  purpose_.connections = 1000;
  expect_change("open files", "6256");
}

TEST_F(Doctor, NamesTheLimitOfPipesThatAnUnprivilegedUserMeets) {
  purpose_.connections = 1000;
  expect_change("pipes", "fs.pipe-user-pages-soft=131072");
  node_.privileged = true;
  EXPECT_EQ(finding("pipes").state, State::good);
  node_.pipe_bytes = 65536;
  expect_change("pipes", "used up");
  node_.privileged = false;
  write("proc/sys/fs/pipe-max-size", "65536");
  expect_change("pipes", "fs.pipe-max-size=1048576");
}

TEST_F(Doctor, SizesSocketBuffersByThePath) {
  purpose_.mbps = 40'000;
  purpose_.round_trip_ms = 100;
  expect_change("receive buffers", "net.ipv4.tcp_rmem=\"4096 131072 1000000000\"");
  expect_change("send buffers", "net.ipv4.tcp_wmem=\"4096 16384 500000000\"");
  purpose_.mbps = 100'000;
  purpose_.round_trip_ms = 1000;
  expect_change("receive buffers", " 2147483647\"");
  expect_change("window", "several");
  fs::remove(node_.root / "proc/sys/net/ipv4/tcp_rmem");
  EXPECT_EQ(finding("receive buffers").state, State::unknown);
}

TEST_F(Doctor, WantsBbrOnALongPathAndPacingUnderIt) {
  node_.queue["eth0"] = "pfifo_fast";
  expect_change("pacing on eth0", "dev eth0 root fq");
  write("proc/sys/net/core/default_qdisc", "pfifo_fast");
  expect_change("queue of new interfaces", "net.core.default_qdisc=fq");
  write("proc/sys/net/ipv4/tcp_congestion_control", "cubic");
  expect_change("congestion control", "tcp_congestion_control=bbr");
  EXPECT_EQ(finding("pacing on eth0").state, State::good);
  write("proc/sys/net/ipv4/tcp_available_congestion_control", "reno cubic");
  expect_change("congestion control", "modprobe tcp_bbr");
  purpose_.round_trip_ms = 0.2;
  EXPECT_EQ(finding("congestion control").state, State::good);
}

TEST_F(Doctor, WantsLargeFramesOfFastInterfaces) {
  interface("mtu", "1500");
  expect_change("frames of eth0", "ip link set eth0 mtu 9000");
  interface("speed", "1000");
  EXPECT_EQ(finding("frames of eth0").state, State::good);
}

TEST_F(Doctor, WantsInterruptsSpreadOverTheCoresBesideTheInterface) {
  write("proc/irq/41/smp_affinity_list", "2");
  expect_change("interrupts of eth0", "NUMA node 1");
  write("proc/irq/40/smp_affinity_list", "2");
  expect_change("interrupts of eth0", "irqbalance");
}

TEST_F(Doctor, SeesPortsThatTheKernelGivesToOthers) {
  purpose_.ports = "32700-32800";
  expect_change("port range", "ip_local_reserved_ports=32700-32800");
  write("proc/sys/net/ipv4/ip_local_reserved_ports", "32700-32800");
  EXPECT_EQ(finding("port range").state, State::good);
  for (const char* nonsense : {"nonsense", "5000-abc", "5000x", "5000-", "5000-5001x"}) {
    purpose_.ports = nonsense;
    EXPECT_EQ(finding("port range").state, State::unknown) << nonsense;
  }
  purpose_.ports = "32700-32800";
  write("proc/sys/net/ipv4/ip_local_reserved_ports", "8080,9000-9100");
  expect_change("port range", "ip_local_reserved_ports=8080,9000-9100,32700-32800");
}

TEST_F(Doctor, LooksAtTheRest) {
  node_.clock_is_set = false;
  expect_change("clock", "chrony");
  node_.cipher_gb_per_s = 0.4;
  node_.cipher_instructions = false;
  expect_change("cipher", "AES");
  write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave");
  expect_change("frequency of the cores", "performance");
  write("proc/sys/net/core/somaxconn", "128");
  expect_change("connections that wait", "net.core.somaxconn=4096");
  write("proc/sys/net/netfilter/nf_conntrack_max", "100");
  expect_change("firewall", "nf_conntrack_max");
}

TEST(ThisNode, IsSeenAsItIs) {
  const Node node = this_node();
  EXPECT_GT(node.open_files, 0U);
  EXPECT_GE(node.pipe_bytes, 4096U);
  EXPECT_GT(node.cipher_gb_per_s, 0);
  EXPECT_FALSE(node.privileged && ::geteuid() != 0);
  EXPECT_FALSE(examine(node, {}).empty());
}

}  // namespace
}  // namespace scistream::cli
