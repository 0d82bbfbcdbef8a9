#include "parallel.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace mlsample {
namespace {

int default_threads() {
    if (const char* text = std::getenv("OMP_NUM_THREADS")) {
        const int n = std::atoi(text);
        if (n >= 1) return n;
    }
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
    return std::max(1u, std::thread::hardware_concurrency());
}

class Pool {
public:
    explicit Pool(int workers) {
        for (int k = 0; k < workers; ++k) threads_.emplace_back([this, k] { work(k + 1); });
    }
    ~Pool() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            stop_ = true;
        }
        wake_.notify_all();
        for (auto& thread : threads_) thread.join();
    }
    int size() const { return static_cast<int>(threads_.size()) + 1; }

    void run(int parts, const std::function<void(int)>& task) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            task_ = &task;
            parts_ = parts;
            pending_ = std::min(parts - 1, size() - 1);
            ++round_;
        }
        wake_.notify_all();
        for (int part = 0; part < parts; part += size()) task(part);
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [this] { return pending_ == 0; });
        task_ = nullptr;
    }

private:
    void work(int index) {
        uint64_t seen = 0;
        for (;;) {
            const std::function<void(int)>* task = nullptr;
            int parts = 0;
            {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [&] { return stop_ || round_ != seen; });
                if (stop_) return;
                seen = round_;
                if (index >= parts_) continue;
                task = task_;
                parts = parts_;
            }
            for (int part = index; part < parts; part += size()) (*task)(part);
            std::lock_guard<std::mutex> lock(mutex_);
            if (--pending_ == 0) done_.notify_one();
        }
    }

    std::vector<std::thread> threads_;
    std::mutex mutex_;
    std::condition_variable wake_, done_;
    const std::function<void(int)>* task_ = nullptr;
    int parts_ = 0, pending_ = 0;
    uint64_t round_ = 0;
    bool stop_ = false;
};

int& threads_wanted() {
    static int n = default_threads();
    return n;
}

// One caller at a time owns the pool; a second one (another Python thread, a nested call) works alone.
std::mutex pool_mutex;

Pool& pool() {
    static std::unique_ptr<Pool> instance;
    static pid_t owner = 0;
    if (instance && owner != getpid()) instance.release();  // a fork has no threads to join: leave them be
    if (!instance || instance->size() != threads_wanted()) {
        instance.reset();
        instance = std::make_unique<Pool>(threads_wanted() - 1);
        owner = getpid();
    }
    return *instance;
}

}  // namespace

int num_threads() { return threads_wanted(); }

void set_num_threads(int n) {
    if (n < 1) throw std::invalid_argument("the number of threads must be at least 1, not " + std::to_string(n));
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
    std::unique_lock<std::mutex> lock(pool_mutex, std::try_to_lock);
    if (parts == 1 || !lock.owns_lock()) {
        for (int part = 0; part < parts; ++part) task(part);
    } else {
        pool().run(parts, task);
    }
    for (auto& error : errors) {
        if (error) std::rethrow_exception(error);
    }
}

}  // namespace mlsample
