#include <cstdio>
#include <vector>

#include <moderngpt2/moderngpt2.hpp>

using namespace moderngpt2;

int main() {
  auto model = load_model<CausalLM<any_shape>>("my_model");
  const std::vector<std::vector<int>> documents{{5, 6, 7, 8}, {9, 10, 11}, {12, 13, 14, 15, 16}};
  std::vector<int> ids, labels, first_key;  // one sequence of all documents
  for (const std::vector<int>& document : documents) {
    const int begin = int(ids.size());
    for (const int id : document) {
      labels.push_back(int(ids.size()) == begin ? ignored_label : id);  // not predicted from the document before
      ids.push_back(id);
      first_key.push_back(begin);  // attention begins with the own document
    }
  }
  const int time = int(ids.size());
  auto work = model.workspace(1, time, Mode::infer);
  const double packed = model.loss(work, ids, labels, {.batch = 1, .time = time, .first_key = first_key.data()});
  double sum = 0;
  for (const std::vector<int>& d : documents)
    sum += model.loss(work, d, d, {.batch = 1, .time = int(d.size())}) * double(d.size() - 1);
  std::printf("loss packed %.4f, one by one %.4f\n", packed, sum / double(ids.size() - documents.size()));
  return 0;
}
