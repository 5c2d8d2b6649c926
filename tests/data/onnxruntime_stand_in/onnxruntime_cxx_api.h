// A stand-in for the part of ONNX Runtime's C++ interface that the examples of model cards use, with its signatures.
//
// It has no models. The scores of an event are three numbers: the digit behind "fold" in the name of the file, the sum
// of all its floating inputs, and the sum of its integers, such as lengths.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <type_traits>
#include <vector>

enum OrtLoggingLevel { ORT_LOGGING_LEVEL_VERBOSE, ORT_LOGGING_LEVEL_INFO, ORT_LOGGING_LEVEL_WARNING };
enum OrtAllocatorType { OrtDeviceAllocator, OrtArenaAllocator };
enum OrtMemType { OrtMemTypeCPU = -1, OrtMemTypeDefault = 0 };
struct OrtMemoryInfo {};

namespace Ort {

struct Env {
  explicit Env(OrtLoggingLevel, const char*) {}
  Env(const Env&) = delete;
};

struct SessionOptions {
  SessionOptions& SetIntraOpNumThreads(int) { return *this; }
};

struct RunOptions {
  explicit RunOptions(std::nullptr_t) {}
};

struct MemoryInfo {
  static MemoryInfo CreateCpu(OrtAllocatorType, OrtMemType) { return {}; }
  operator const OrtMemoryInfo*() const { return nullptr; }
};

struct TensorTypeAndShapeInfo {
  std::size_t count;
  std::size_t GetElementCount() const { return count; }
};

struct Value {
  Value(Value&&) = default;
  Value& operator=(Value&&) = default;

  template <typename T>
  static Value CreateTensor(const OrtMemoryInfo*, T* data, std::size_t count, const std::int64_t* shape,
                            std::size_t dimensions) {
    Value made;
    made.shape.assign(shape, shape + dimensions);
    std::size_t expected = 1;
    for (const std::int64_t size : made.shape) expected *= static_cast<std::size_t>(size);
    if (expected != count) std::abort();  // ONNX Runtime throws
    made.is_integer = std::is_integral<T>::value;
    made.numbers.assign(data, data + count);
    return made;
  }

  template <typename T>
  const T* GetTensorData() const {
    static_assert(std::is_same<T, float>::value, "scores of the stand-in");
    return scores.data();
  }

  TensorTypeAndShapeInfo GetTensorTypeAndShapeInfo() const { return {scores.size()}; }

  std::vector<std::int64_t> shape;
  std::vector<double> numbers;
  std::vector<float> scores;
  bool is_integer = false;

  Value() = default;
};

struct Session {
  Session(const Env&, const char* path, const SessionOptions&) {
    const std::string name = path;
    model = static_cast<float>(name[name.rfind("fold") + 4] - '0');
  }
  Session(Session&&) = default;

  std::vector<Value> Run(const RunOptions&, const char* const* input_names, const Value* input_values,
                         std::size_t input_count, const char* const* output_names, std::size_t output_count) {
    if (output_count != 1 || std::string(output_names[0]).empty() || std::string(input_names[0]).empty()) std::abort();
    const std::size_t events = static_cast<std::size_t>(input_values[0].shape[0]);
    std::vector<float> scores(3 * events);
    for (std::size_t event = 0; event < events; ++event) {
      scores[3 * event] = model;
      for (std::size_t input = 0; input < input_count; ++input) {
        const Value& value = input_values[input];
        const std::size_t each = value.numbers.size() / events;
        for (std::size_t index = 0; index < each; ++index) {
          scores[3 * event + (value.is_integer ? 2 : 1)] += static_cast<float>(value.numbers[event * each + index]);
        }
      }
    }
    std::vector<Value> found(1);
    found[0].scores = scores;
    return found;
  }

  float model;
};

}  // namespace Ort
