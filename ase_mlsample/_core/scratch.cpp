#include "scratch.hpp"

#include <cstdlib>
#include <memory>
#include <new>

namespace mlsample {

void* thread_scratch(int64_t bytes) {
    struct Free {
        void operator()(void* p) const { std::free(p); }
    };
    thread_local std::unique_ptr<void, Free> block;
    thread_local int64_t size = 0;
    if (bytes > size) {
        block.reset();
        size = 0;
        block.reset(std::aligned_alloc(64, static_cast<size_t>((bytes + 63) / 64 * 64)));
        if (!block) throw std::bad_alloc();
        size = bytes;
    }
    return block.get();
}

}  // namespace mlsample
