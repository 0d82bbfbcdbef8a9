#include "parallel.hpp"

#include <pthread.h>
#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace mlsample {
namespace {

int available_threads() {
    if (const char* text = std::getenv("OMP_NUM_THREADS")) {
        const int n = std::atoi(text);
        if (n >= 1) return n;
    }
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    return static_cast<int>(std::thread::hardware_concurrency());
}

class Pool {
public:
    explicit Pool(int threads) : wanted_(threads) {
        workers_.reserve(threads - 1);
        try {
            for (int k = 1; k < threads; ++k) workers_.emplace_back([this] { work(); });
        } catch (const std::system_error&) {
            // the system gives no more: those there are do the others' parts too
        }
    }
    ~Pool() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            stop_ = true;
        }
        wake_.notify_all();
        for (auto& worker : workers_) worker.join();
    }
    int wanted() const { return wanted_; }

    // Parts are fixed, but not who does them: a worker that the system wakes late finds them done and holds nobody up.
    void run(int parts, const std::function<void(int)>& task) {
        std::unique_lock<std::mutex> lock(mutex_);
        task_ = &task;
        parts_ = parts;
        next_ = 0;
        lock.unlock();
        wake_.notify_all();
        lock.lock();
        while (next_ < parts_) do_next(lock);
        done_.wait(lock, [this] { return busy_ == 0; });
        task_ = nullptr;
    }

private:
    void do_next(std::unique_lock<std::mutex>& lock) {
        const int part = next_++;
        const std::function<void(int)>& task = *task_;
        lock.unlock();
        task(part);
        lock.lock();
    }

    void work() {
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            wake_.wait(lock, [this] { return stop_ || next_ < parts_; });
            if (stop_) return;
            ++busy_;
            while (next_ < parts_) do_next(lock);
            if (--busy_ == 0) done_.notify_one();
        }
    }

    const int wanted_;
    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::condition_variable wake_, done_;
    const std::function<void(int)>* task_ = nullptr;
    int parts_ = 0, next_ = 0, busy_ = 0;
    bool stop_ = false;
};

std::atomic<int>& threads_wanted() {
    static std::atomic<int> n{std::clamp(available_threads(), 1, kMostThreads)};
    return n;
}

// Never destroyed but to change its size: its threads may not be waited for when the process ends.
Pool* pool = nullptr;
std::atomic<bool> pool_taken{false};

// Holds the pool, if nobody else does.
class Turn {
public:
    Turn() : mine_(!pool_taken.exchange(true, std::memory_order_acquire)) {}
    ~Turn() {
        if (mine_) pool_taken.store(false, std::memory_order_release);
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    explicit operator bool() const { return mine_; }

private:
    const bool mine_;
};

// The child of a fork has none of the threads: it starts anew and leaves the old pool where it is.
void forget_pool() {
    pool = nullptr;
    pool_taken = false;
}

// For the holder of a turn.
Pool& pool_of_right_size() {
    static const int registered = pthread_atfork(nullptr, nullptr, forget_pool);
    if (registered != 0) throw std::bad_alloc();
    const int wanted = threads_wanted();
    if (pool && pool->wanted() != wanted) {
        delete pool;
        pool = nullptr;
    }
    if (!pool) pool = new Pool(wanted);
    return *pool;
}

}  // namespace

int num_threads() { return threads_wanted(); }

void set_num_threads(int n) {
    if (n < 1 || n > kMostThreads)
        throw std::invalid_argument("the number of threads must be between 1 and " + std::to_string(kMostThreads) +
                                    ", not " + std::to_string(n));
    threads_wanted() = n;
}

int parts_for(int64_t n, int64_t grain) {
    const int64_t most = std::max<int64_t>(1, n / std::max<int64_t>(1, grain));
    return static_cast<int>(std::min<int64_t>(num_threads(), most));
}

void parallel_parts(int64_t n, int parts, const std::function<void(int, int64_t, int64_t)>& body) {
    parts = std::max(1, parts);
    std::vector<std::exception_ptr> errors(parts);
    auto task = [&](int part) {
        try {
            body(part, n * part / parts, n * (part + 1) / parts);
        } catch (...) {
            errors[part] = std::current_exception();
        }
    };
    const auto alone = [&] {
        for (int part = 0; part < parts; ++part) task(part);
    };
    if (parts == 1) {
        alone();
    } else if (const Turn turn; turn) {
        pool_of_right_size().run(parts, task);
    } else {
        alone();
    }
    for (auto& error : errors) {
        if (error) std::rethrow_exception(error);
    }
}

}  // namespace mlsample
