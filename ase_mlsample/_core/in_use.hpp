// Kernels run without the interpreter's lock, so that a second Python thread can reach an object while it changes.
#pragma once

#include <atomic>
#include <stdexcept>
#include <string>

namespace mlsample {

// Marks an object as in use while it lives; a second user at that time gets a std::runtime_error instead of a crash.
class InUse {
public:
    InUse(std::atomic<bool>& mark, const char* what) : mark_(mark) {
        if (mark_.exchange(true, std::memory_order_acquire))
            throw std::runtime_error(std::string("this ") + what +
                                     " is in use by another thread: give each thread its own");
    }
    ~InUse() { mark_.store(false, std::memory_order_release); }
    InUse(const InUse&) = delete;
    InUse& operator=(const InUse&) = delete;

private:
    std::atomic<bool>& mark_;
};

}  // namespace mlsample
