// Pairs of neighbours in contiguous arrays, and what belongs to a pair added to its two ends. Included only by
// aev_kernels.cpp.
#pragma once

#include "aev_centre.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

constexpr double shrink = 0.95;  // theta = acos(0.95 cos theta) keeps derivatives finite [TorchANI]

// The pairs of neighbours of one pair of species. Neighbours of one species, no fewer than of the other, lie in lanes;
// those of the other, the partners, are repeated along tiles, and row d pairs each lane s with tile s + d. So both
// ends of a row's pairs are contiguous, and neither is summed over lanes. Among neighbours of one species it is enough
// to go halfway round: an even number of them has each pair of the last row twice, at half the weight.
struct Pairs {
    int64_t lane_start, tile_start;  // slots
    int lanes, partners;
    int first, end;  // rows
    bool same;
    int offset;  // of the pair's block in the AEV
    template <class T>
    MLSAMPLE_INLINE T share(int row) const {
        return same && 2 * row == partners ? T(0.5) : T(1);
    }
    MLSAMPLE_INLINE int64_t tiles() const { return lanes + end - 1; }
};

template <class T>
MLSAMPLE_INLINE typename Lanes<T>::I lane_numbers() {
    typename Lanes<T>::I lane{};
    for (int k = 0; k < width<T>; ++k) lane[k] = k;
    return lane;
}

// Lanes from `from` up to `to`.
template <class T>
MLSAMPLE_INLINE typename Lanes<T>::I lanes_between(typename Lanes<T>::I lane, int64_t from, int64_t to) {
    typedef typename Lanes<T>::I I;
    typedef decltype(I{}[0] + I{}[0]) Index;
    return (lane >= (I{} + static_cast<Index>(from))) & (lane < (I{} + static_cast<Index>(to)));
}

template <class T>
MLSAMPLE_INLINE Vec<T> chosen(typename Lanes<T>::I inside, const T* at) {
    return (Vec<T>)((typename Lanes<T>::I)load(at) & inside);
}

// Repeats the partners' numbers along a tile array; what follows the last tile is any of them.
template <class T>
MLSAMPLE_INLINE void repeat(const Pairs& p, const T* slots, T* tiles) {
    const T* from = slots + p.tile_start;
    for (int64_t base = 0; base < p.tiles(); base += p.partners) {
        for (int64_t q = 0; q < p.partners; q += width<T>) store<T>(tiles + base + q, load(from + q));
    }
}

template <class T>
void repeat_partners(const Workspace<T>& w, const Pairs& p) {
    const T* const slots[] = {w.s.ux, w.s.uy, w.s.uz, w.s.r, w.s.fa, w.s.dfa};
    for (int a = 0; a < 6; ++a) repeat<T>(p, slots[a], w.tiles + a * w.tile_row);
}

// Their tangents and speeds, for each member.
template <class T>
void repeat_rates(const Workspace<T>& w, const Pairs& p, int members) {
    for (int k = 0; k < members; ++k) {
        for (int a = 0; a < 3; ++a) {
            repeat<T>(p, w.tangent + (3 * k + a) * w.slots, w.tile_sums + (4 * k + a) * w.tile_row);
        }
        repeat<T>(p, w.speed + k * w.slots, w.tile_sums + (4 * k + 3) * w.tile_row);
    }
}

// Mean distance, 0.95 cosine and weight of the pairs of rows, one after the other: lanes past a row's end are
// overwritten by the next row, those past the last row count for nothing.
template <class T>
__attribute__((noinline)) void pack_rows(const Workspace<T>& w, const Pairs& pairs, int row, int end) {
    const Pairs p = pairs;
    const T *ux = w.s.ux + p.lane_start, *uy = w.s.uy + p.lane_start, *uz = w.s.uz + p.lane_start;
    const T *r = w.s.r + p.lane_start, *fa = w.s.fa + p.lane_start;
    T *mean = w.mean, *cosine = w.cosine, *weight = w.weight;
    int64_t at = 0;
    for (; row < end; ++row, at += p.lanes) {
        const T *tile = w.tiles + row, share = p.share<T>(row);
        for (int64_t s = 0; s < p.lanes; s += width<T>, tile += width<T>) {
            const Vec<T> x = load(tile), y = load(tile + w.tile_row), z = load(tile + 2 * w.tile_row);
            const Vec<T> dot = load(ux + s) * x + load(uy + s) * y + load(uz + s) * z;
            store<T>(cosine + at + s, dot * T(shrink));
            store<T>(mean + at + s, (load(r + s) + load(tile + 3 * w.tile_row)) * T(0.5));
            store<T>(weight + at + s, load(fa + s) * load(tile + 4 * w.tile_row) * share);
        }
    }
    store<T>(mean + at, Vec<T>{}), store<T>(cosine + at, Vec<T>{}), store<T>(weight + at, Vec<T>{});
}

// Rates of change of the rows' weights, of weight x mean distance and weight x 0.95 cosine, for one member.
template <class T>
void pack_rates(const Workspace<T>& w, const Pairs& p, int k, int row, int end) {
    const int64_t start = p.lane_start, tiles = w.tile_row;
    const T *tx = w.tangent + 3 * k * w.slots + start, *ty = tx + w.slots, *tz = ty + w.slots;
    const T *ux = w.s.ux + start, *uy = w.s.uy + start, *uz = w.s.uz + start, *speed = w.speed + k * w.slots + start;
    T *d_weight = w.packed + 3 * k * w.pairs, *d_mean = d_weight + w.pairs, *d_cosine = d_mean + w.pairs;
    int64_t at = 0;
    for (; row < end; ++row, at += p.lanes) {
        const T *tile = w.tiles + row, *rates = w.tile_sums + 4 * k * tiles + row, share = p.share<T>(row);
        for (int64_t s = 0; s < p.lanes; s += width<T>, tile += width<T>, rates += width<T>) {
            const Vec<T> f = load(w.s.fa + start + s), other = load(tile + 4 * tiles) * share, weight = f * other;
            const Vec<T> rate = load(speed + s), other_rate = load(rates + 3 * tiles);
            const Vec<T> turn = load(tx + s) * load(tile) + load(ty + s) * load(tile + tiles) +
                                load(tz + s) * load(tile + 2 * tiles) + load(ux + s) * load(rates) +
                                load(uy + s) * load(rates + tiles) + load(uz + s) * load(rates + 2 * tiles);
            store<T>(d_weight + at + s, load(w.s.dfa + start + s) * rate * other +
                                            f * load(tile + 5 * tiles) * other_rate * share);
            store<T>(d_mean + at + s, weight * T(0.5) * (rate + other_rate));
            store<T>(d_cosine + at + s, weight * T(shrink) * turn);
        }
    }
    for (int a = 0; a < 3; ++a) store<T>(d_weight + a * w.pairs + at, Vec<T>{});
}

// What `contract` stored of pairs, summed over one end's partners: the part of dE/d(vector) along the direction that
// does not follow from the turning, less that of the cutoff and its sum, and dE/d(0.95 cosine) times the partners'
// directions.
template <class T, int Members>
struct EndSums {
    Vec<T> along[Members]{}, fade[Members]{}, turn[Members][3]{};

    // `at` the pairs, one for each lane; x, y, z, f of the partners. Nothing is added outside `inside`, where that is
    // asked for.
    template <bool masked>
    MLSAMPLE_INLINE void add(const T* at, int64_t row, typename Lanes<T>::I inside, Vec<T> x, Vec<T> y, Vec<T> z,
                             Vec<T> f) {
#pragma GCC unroll 8
        for (int b = 0; b < Members; ++b, at += 3 * row) {
            const Vec<T> e0 = masked ? chosen<T>(inside, at) : load(at);
            const Vec<T> e1 = masked ? chosen<T>(inside, at + row) : load(at + row);
            const Vec<T> e2 = masked ? chosen<T>(inside, at + 2 * row) : load(at + 2 * row);
            along[b] += e1;
            fade[b] += e0 * f;
            turn[b][0] += e2 * x, turn[b][1] += e2 * y, turn[b][2] += e2 * z;
        }
    }
};

// Adds the rows' pairs to their lanes.
template <class T, int Members>
__attribute__((noinline)) void add_to_lanes(const Workspace<T>& w, const Pairs& pairs, int member, int row, int end) {
    const Pairs p = pairs;
    const auto lane = lane_numbers<T>();
    const T* packed = w.packed + 3 * member * w.pairs;
    for (int64_t s = 0; s < p.lanes; s += width<T>) {
        const int64_t slot = p.lane_start + s;
        EndSums<T, Members> sums;
        for (int d = row; d < end; ++d) {
            const T* tile = w.tiles + s + d;
            sums.template add<false>(packed + (d - row) * p.lanes + s, w.pairs, lane, load(tile),
                                     load(tile + w.tile_row), load(tile + 2 * w.tile_row),
                                     load(tile + 4 * w.tile_row) * p.share<T>(d));
        }
        const auto inside = lanes_between<T>(lane, 0, p.lanes - s);
        const Vec<T> slope = load(w.s.dfa + slot);
#pragma GCC unroll 8
        for (int b = 0; b < Members; ++b) {
            T *const along = w.along + (member + b) * w.slots + slot, *turn = w.turn + 3 * (member + b) * w.slots + slot;
            const Vec<T> sum = sums.along[b] + slope * sums.fade[b];
            store<T>(along, load(along) + (inside ? sum : Vec<T>{}));
            for (int a = 0; a < 3; ++a, turn += w.slots) {
                store<T>(turn, load(turn) + (inside ? sums.turn[b][a] : Vec<T>{}));
            }
        }
    }
}

// Adds the rows' pairs to their tiles.
template <class T, int Members>
__attribute__((noinline)) void add_to_tiles(const Workspace<T>& w, const Pairs& pairs, int member, int row, int end) {
    const Pairs p = pairs;
    const auto lane = lane_numbers<T>();
    const Slots<T> s = w.s;
    const T* packed = w.packed + 3 * member * w.pairs;
    for (int64_t t = row / width<T> * width<T>; t < p.lanes + end - 1; t += width<T>) {
        const int from = t - p.lanes + 1 > row ? static_cast<int>(t) - p.lanes + 1 : row;
        const int to = t + width<T> < end ? static_cast<int>(t) + width<T> : end;
        EndSums<T, Members> sums;
        for (int d = from; d < to; ++d) {
            const int64_t first = t - d, slot = p.lane_start + first;
            const auto inside = lanes_between<T>(lane, -first, p.lanes - first);
            sums.template add<true>(packed + (d - row) * p.lanes + first, w.pairs, inside,
                                    chosen<T>(inside, s.ux + slot), chosen<T>(inside, s.uy + slot),
                                    chosen<T>(inside, s.uz + slot), chosen<T>(inside, s.fa + slot) * p.share<T>(d));
        }
        const Vec<T> slope = load(w.tiles + 5 * w.tile_row + t);
#pragma GCC unroll 8
        for (int b = 0; b < Members; ++b) {
            T* out = w.tile_sums + 4 * (member + b) * w.tile_row + t;
            store<T>(out, load(out) + (sums.along[b] + slope * sums.fade[b]));
            for (int a = 0; a < 3; ++a) {
                out += w.tile_row;
                store<T>(out, load(out) + sums.turn[b][a]);
            }
        }
    }
}

template <class T>
void clear_tiles(const Workspace<T>& w, const Pairs& p, int members) {
    for (int k = 0; k < 4 * members; ++k) {
        for (int64_t t = 0; t < p.tiles(); t += width<T>) store<T>(w.tile_sums + k * w.tile_row + t, Vec<T>{});
    }
}

// Adds the tiles' sums to the slots that they repeat.
template <class T>
void fold_tiles(const Workspace<T>& w, const Pairs& p, int members) {
    const auto lane = lane_numbers<T>();
    for (int k = 0; k < 4 * members; ++k) {
        T* out = (k % 4 == 0 ? w.along + k / 4 * w.slots : w.turn + (k / 4 * 3 + k % 4 - 1) * w.slots) + p.tile_start;
        const T* in = w.tile_sums + k * w.tile_row;
        for (int64_t base = 0; base < p.tiles(); base += p.partners) {
            const int64_t count = p.tiles() - base < p.partners ? p.tiles() - base : p.partners;
            for (int64_t q = 0; q < count; q += width<T>) {
                store<T>(out + q, load(out + q) + chosen<T>(lanes_between<T>(lane, 0, count - q), in + base + q));
            }
        }
    }
}

}  // namespace
}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
