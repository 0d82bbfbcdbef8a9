// Search for candidate pairs by linked cells; small cells are the same algorithm with more images per bin.
#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>
#include <tuple>

#include "neighbors.hpp"
#include "parallel.hpp"

namespace mlsample {
namespace {

// More images than this in reach of an atom mean that the cell is broken: a cube with edges of cutoff / 29.
constexpr double kMostImages = 2e5;

struct Neighbor {
    int32_t atom, shift[3];
    bool operator<(const Neighbor& o) const {
        return std::tie(atom, shift[0], shift[1], shift[2]) < std::tie(o.atom, o.shift[0], o.shift[1], o.shift[2]);
    }
};

struct Bins {
    int64_t count[3], reach[3];
    std::vector<double> wrapped;     // (N,3) cartesian
    std::vector<int32_t> wrap;       // (N,3) lattice vectors taken off
    std::vector<int32_t> place;      // (N,3) bin of each atom
    std::vector<int64_t> first;      // atoms of each bin
    std::vector<int32_t> atoms;
};

void cross(const double* a, const double* b, double* out) {
    out[0] = a[1] * b[2] - a[2] * b[1];
    out[1] = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
}

double norm(const double* a) { return std::sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2]); }

void normalise(double* a) {
    const double length = norm(a);
    for (int k = 0; k < 3; ++k) a[k] /= length;
}

std::string describe(const double* cell) {
    std::ostringstream text;
    for (int k = 0; k < 3; ++k)
        text << (k ? ", [" : "[[") << cell[3 * k] << ", " << cell[3 * k + 1] << ", " << cell[3 * k + 2] << "]";
    text << "]";
    return text.str();
}

[[noreturn]] void singular(const double* cell) {
    throw std::invalid_argument("the cell " + describe(cell) +
                                " is singular along its periodic directions: give finite, linearly independent "
                                "vectors there or switch the periodicity off (atoms.pbc)");
}

[[noreturn]] void too_small(double radius, double images) {
    std::ostringstream text;
    text << "the cell is too flat or too small for a cutoff of " << radius << " Å: " << images
         << " images would have to be searched for each atom; repeat the cell or give it another shape";
    throw std::invalid_argument(text.str());
}

void fill_free_directions(Lattice& lattice) {
    double* c = lattice.cell;
    int periodic[3], free[3], p = 0, f = 0;
    for (int k = 0; k < 3; ++k) (lattice.pbc[k] ? periodic[p++] : free[f++]) = k;
    if (p == 0) {
        for (int k = 0; k < 9; ++k) c[k] = k % 4 == 0;
    } else if (p == 1) {
        const double* a = c + 3 * periodic[0];
        int axis = 0;
        for (int k = 1; k < 3; ++k)
            if (std::abs(a[k]) < std::abs(a[axis])) axis = k;
        double unit[3] = {0, 0, 0};
        unit[axis] = 1;
        cross(a, unit, c + 3 * free[0]);
        normalise(c + 3 * free[0]);
        cross(a, c + 3 * free[0], c + 3 * free[1]);
        normalise(c + 3 * free[1]);
    } else if (p == 2) {
        cross(c + 3 * periodic[0], c + 3 * periodic[1], c + 3 * free[0]);
        normalise(c + 3 * free[0]);
    }
}

// Bins no narrower than the radius where the cell allows it, and no more of them than atoms warrant.
void size_bins(const double* extent, const bool* pbc, int64_t n, double radius, Bins& bins) {
    double count[3];
    for (int k = 0; k < 3; ++k) count[k] = std::max(1.0, std::floor(extent[k] / radius));
    const double most = 4.0 * static_cast<double>(n) + 8.0;
    while (count[0] * count[1] * count[2] > most) {
        double* largest = std::max_element(count, count + 3);
        *largest = std::max(1.0, std::floor(*largest / 2));
    }
    double scanned = 1.0;
    for (int k = 0; k < 3; ++k) {
        bins.count[k] = static_cast<int64_t>(count[k]);
        double reach = extent[k] > 0 ? std::ceil(radius * count[k] / extent[k] * (1 + 1e-9)) : 0.0;
        if (!pbc[k]) reach = std::min(reach, count[k] - 1);
        scanned *= 2 * reach + 1;
        bins.reach[k] = static_cast<int64_t>(std::min(reach, 1e9));
    }
    if (scanned > kMostImages)
        too_small(radius, scanned);
}

void fractional_coordinates(const double* positions, int64_t n, const Lattice& lattice, std::vector<double>& out) {
    out.resize(3 * n);
    const double* inv = lattice.inverse;
    for (int64_t i = 0; i < n; ++i) {
        const double* r = positions + 3 * i;
        for (int k = 0; k < 3; ++k) {
            out[3 * i + k] = r[0] * inv[k] + r[1] * inv[3 + k] + r[2] * inv[6 + k];
            if (lattice.pbc[k] && std::abs(out[3 * i + k]) > 1e8)
                throw std::invalid_argument("atom " + std::to_string(i) +
                                            " lies more than 1e8 cells away from the origin: wrap the positions");
        }
    }
}

// What the bins cover: the cell where it is periodic, otherwise the atoms. Fractions start at low.
void cover(const std::vector<double>& fractional, int64_t n, const Lattice& lattice, double* low, double* extent) {
    for (int k = 0; k < 3; ++k) {
        low[k] = 0.0;
        extent[k] = lattice.height[k];
        if (lattice.pbc[k] || n == 0) continue;
        double high = fractional[k];
        low[k] = fractional[k];
        for (int64_t i = 1; i < n; ++i) {
            low[k] = std::min(low[k], fractional[3 * i + k]);
            high = std::max(high, fractional[3 * i + k]);
        }
        extent[k] = high - low[k];  // free directions are unit vectors: fractions are lengths
    }
}

void place_atoms(const double* positions, const std::vector<double>& fractional, int64_t n, const Lattice& lattice,
                 const double* low, const double* extent, Bins& bins) {
    bins.wrapped.assign(positions, positions + 3 * n);
    bins.wrap.assign(3 * n, 0);
    bins.place.resize(3 * n);
    for (int64_t i = 0; i < n; ++i) {
        for (int k = 0; k < 3; ++k) {
            double s = fractional[3 * i + k];
            if (lattice.pbc[k]) {
                const double whole = std::floor(s);
                bins.wrap[3 * i + k] = static_cast<int32_t>(whole);
                s -= whole;
                for (int a = 0; a < 3; ++a) bins.wrapped[3 * i + a] -= whole * lattice.cell[3 * k + a];
            } else {
                s = extent[k] > 0 ? (s - low[k]) / extent[k] : 0.0;
            }
            const auto bin = static_cast<int64_t>(s * static_cast<double>(bins.count[k]));
            bins.place[3 * i + k] = static_cast<int32_t>(std::clamp<int64_t>(bin, 0, bins.count[k] - 1));
        }
    }
}

void fill_bins(const double* positions, int64_t n, const Lattice& lattice, double radius, Bins& bins) {
    std::vector<double> fractional;
    fractional_coordinates(positions, n, lattice, fractional);
    double low[3], extent[3];
    cover(fractional, n, lattice, low, extent);
    size_bins(extent, lattice.pbc, n, radius, bins);
    place_atoms(positions, fractional, n, lattice, low, extent, bins);
    auto index = [&](int64_t i) {
        const int32_t* p = &bins.place[3 * i];
        return (p[0] * bins.count[1] + p[1]) * bins.count[2] + p[2];
    };
    bins.first.assign(bins.count[0] * bins.count[1] * bins.count[2] + 1, 0);
    for (int64_t i = 0; i < n; ++i) ++bins.first[index(i) + 1];
    for (size_t b = 1; b < bins.first.size(); ++b) bins.first[b] += bins.first[b - 1];
    bins.atoms.resize(n);
    std::vector<int64_t> next(bins.first.begin(), bins.first.end() - 1);
    for (int64_t i = 0; i < n; ++i) bins.atoms[next[index(i)]++] = static_cast<int32_t>(i);
}

// The bins along one axis that atom's neighbours may lie in, with the lattice vectors crossed on the way.
struct Step {
    int64_t bin;
    int32_t crossed;
};

void steps_along(const Bins& bins, const bool* pbc, int64_t i, int k, std::vector<Step>& out) {
    out.clear();
    const int64_t n = bins.count[k], place = bins.place[3 * i + k];
    for (int64_t q = place - bins.reach[k]; q <= place + bins.reach[k]; ++q) {
        if (!pbc[k] && (q < 0 || q >= n)) continue;
        const int64_t crossed = q >= 0 ? q / n : -((n - 1 - q) / n);
        out.push_back({q - crossed * n, static_cast<int32_t>(crossed)});
    }
}

struct Searcher {
    const Bins& bins;
    const Lattice& lattice;
    double radius_squared;
    std::vector<Step> steps[3];
    std::vector<Neighbor> found;

    void scan(int64_t i, int64_t bin, const int32_t* crossed) {
        const double* cell = lattice.cell;
        const double* centre = &bins.wrapped[3 * i];
        double origin[3];
        for (int a = 0; a < 3; ++a)
            origin[a] = crossed[0] * cell[a] + crossed[1] * cell[3 + a] + crossed[2] * cell[6 + a] - centre[a];
        const int32_t* wi = &bins.wrap[3 * i];
        for (int64_t t = bins.first[bin]; t < bins.first[bin + 1]; ++t) {
            const int32_t j = bins.atoms[t];
            const double* other = &bins.wrapped[3 * static_cast<int64_t>(j)];
            const double x = other[0] + origin[0], y = other[1] + origin[1], z = other[2] + origin[2];
            if (x * x + y * y + z * z >= radius_squared) continue;
            if (j == i && crossed[0] == 0 && crossed[1] == 0 && crossed[2] == 0) continue;
            const int32_t* wj = &bins.wrap[3 * static_cast<int64_t>(j)];
            found.push_back({j, {crossed[0] + wi[0] - wj[0], crossed[1] + wi[1] - wj[1], crossed[2] + wi[2] - wj[2]}});
        }
    }

    void search(int64_t i) {
        found.clear();
        for (int k = 0; k < 3; ++k) steps_along(bins, lattice.pbc, i, k, steps[k]);
        for (const Step& a : steps[0])
            for (const Step& b : steps[1])
                for (const Step& c : steps[2]) {
                    const int32_t crossed[3] = {a.crossed, b.crossed, c.crossed};
                    scan(i, (a.bin * bins.count[1] + b.bin) * bins.count[2] + c.bin, crossed);
                }
        std::sort(found.begin(), found.end());
    }
};

// Numbers each distinct (atom, shift) once, by open addressing.
class ImageTable {
public:
    ImageTable(int64_t n, size_t displaced, Candidates& out) : out_(out) {
        size_t size = 16;
        while (size < 2 * displaced) size *= 2;
        slots_.assign(size, -1);
        out.image_atom.resize(n);
        out.image_shift.assign(3 * n, 0);
        for (int64_t i = 0; i < n; ++i) out.image_atom[i] = static_cast<int32_t>(i);
    }

    int32_t number(const Neighbor& x) {
        if (x.shift[0] == 0 && x.shift[1] == 0 && x.shift[2] == 0) return x.atom;
        uint64_t key = static_cast<uint32_t>(x.atom);
        for (int k = 0; k < 3; ++k) key = (key ^ static_cast<uint32_t>(x.shift[k])) * 0x9E3779B97F4A7C15ull;
        for (size_t slot = (key >> 20) & (slots_.size() - 1);; slot = (slot + 1) & (slots_.size() - 1)) {
            const int32_t known = slots_[slot];
            if (known < 0) return slots_[slot] = append(x);
            const int32_t* shift = &out_.image_shift[3 * static_cast<size_t>(known)];
            if (out_.image_atom[known] == x.atom && std::equal(shift, shift + 3, x.shift)) return known;
        }
    }

private:
    int32_t append(const Neighbor& x) {
        out_.image_atom.push_back(x.atom);
        out_.image_shift.insert(out_.image_shift.end(), x.shift, x.shift + 3);
        return static_cast<int32_t>(out_.image_atom.size() - 1);
    }

    Candidates& out_;
    std::vector<int32_t> slots_;
};

}  // namespace

Lattice complete_lattice(const double* cell, const bool* pbc) {
    Lattice lattice;
    for (int k = 0; k < 3; ++k) {
        lattice.pbc[k] = pbc[k];
        for (int a = 0; a < 3; ++a) {
            if (pbc[k] && !std::isfinite(cell[3 * k + a])) singular(cell);
            lattice.cell[3 * k + a] = cell[3 * k + a];
        }
        if (pbc[k] && norm(cell + 3 * k) == 0.0) singular(cell);
    }
    fill_free_directions(lattice);
    const double* c = lattice.cell;
    double normals[3][3];
    for (int k = 0; k < 3; ++k) cross(c + 3 * ((k + 1) % 3), c + 3 * ((k + 2) % 3), normals[k]);
    const double volume = c[0] * normals[0][0] + c[1] * normals[0][1] + c[2] * normals[0][2];
    if (!(std::abs(volume) > 1e-9 * norm(c) * norm(c + 3) * norm(c + 6))) singular(cell);
    for (int k = 0; k < 3; ++k) {
        for (int a = 0; a < 3; ++a) lattice.inverse[3 * a + k] = normals[k][a] / volume;
        lattice.height[k] = std::abs(volume) / norm(normals[k]);
    }
    return lattice;
}

void find_candidates(const double* positions, int64_t n, const Lattice& lattice, double radius, Candidates& out) {
    Bins bins;
    fill_bins(positions, n, lattice, radius, bins);
    const int parts = parts_for(n, 256);
    std::vector<std::vector<Neighbor>> found(parts);
    out.first.assign(n + 1, 0);
    parallel_parts(n, parts, [&](int part, int64_t begin, int64_t end) {
        Searcher searcher{bins, lattice, radius * radius, {}, {}};
        for (int64_t i = begin; i < end; ++i) {
            searcher.search(i);
            out.first[i + 1] = static_cast<int64_t>(searcher.found.size());
            found[part].insert(found[part].end(), searcher.found.begin(), searcher.found.end());
        }
    });
    for (int64_t i = 0; i < n; ++i) out.first[i + 1] += out.first[i];
    if (out.first[n] > INT32_MAX - n)  // each pair may need an image of its own
        throw std::invalid_argument("more than 2^31 neighbour pairs: use a shorter cutoff or a smaller structure");
    size_t displaced = 0;
    for (const auto& part : found)
        for (const Neighbor& x : part) displaced += (x.shift[0] | x.shift[1] | x.shift[2]) != 0;
    ImageTable table(n, displaced, out);
    out.image.clear();
    out.image.reserve(out.first[n]);
    for (const auto& part : found)
        for (const Neighbor& x : part) out.image.push_back(table.number(x));
}

}  // namespace mlsample
