#pragma once

#include <omp.h>

namespace moderngpt2::test {

/// OpenMP's control variables of the calling thread, restored at the end of the scope.
class OpenMpSettings {
 public:
  OpenMpSettings() = default;
  ~OpenMpSettings() {
    omp_set_dynamic(dynamic_);
    omp_set_max_active_levels(levels_);
  }
  OpenMpSettings(const OpenMpSettings&) = delete;
  OpenMpSettings& operator=(const OpenMpSettings&) = delete;

 private:
  int dynamic_ = omp_get_dynamic(), levels_ = omp_get_max_active_levels();
};

/// Calls f(name of the cause) where OpenMP's teams are smaller than the default, once for each cause that a program can
/// set itself. f() may run on several threads at once.
template <class F>
void with_small_teams(F&& f) {
  const OpenMpSettings restored;
  omp_set_dynamic(1);
  f("dynamic teams");
  omp_set_dynamic(0);
  omp_set_max_active_levels(0);
  f("no active levels");
  for (const int levels : {1, 2})
    for (const int team : {1, 2}) {
      omp_set_max_active_levels(levels);
#pragma omp parallel num_threads(team)
      f(team == 1 ? "inside a team of one thread" : levels == 1 ? "inside a team" : "inside a team, two levels");
    }
#pragma omp teams num_teams(1) thread_limit(1)
  f("a thread limit of 1");
#pragma omp teams num_teams(1) thread_limit(2)
  f("a thread limit of 2");
}

}  // namespace moderngpt2::test
