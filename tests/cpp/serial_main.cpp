// tdn_tests FOLDER: runs every case and prints `ok NAME` or `failed NAME`.

#include "check.h"

int main(int n_words, char **words)
{
  if (n_words != 2) {
    std::cerr << "usage: tdn_tests FOLDER (of closed-form archives)\n";
    return 2;
  }
  check::archives = words[1];
  for (const auto &one : check::cases())
    std::cout << (check::run(one) == 0 ? "ok " : "failed ") << one.name << std::endl;
  return check::failures == 0 ? 0 : 1;
}
