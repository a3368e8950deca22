/* ----------------------------------------------------------------------
   pair_style tdn: settings and models. The setup of a run is in
   pair_tdn_init.cpp, the work of a step in pair_tdn_compute.cpp.
------------------------------------------------------------------------- */

#include "pair_tdn_impl.h"

#include "engine/device.h"
#include "node_rank.h"

#include "citeme.h"
#include "comm.h"
#include "force.h"
#include "memory.h"
#include "utils.h"

#include <algorithm>
#include <cstring>
#ifdef __linux__
#include <malloc.h>    // mallopt of glibc
#endif

using namespace LAMMPS_NS;

/* every step allocates and frees large tensors: let malloc keep their pages instead of requesting
   zeroed ones from the system each time, which cost up to half of the CPU time of a step */

static void keep_freed_pages()
{
#ifdef __GLIBC__
  static bool done = false;
  if (done) return;
  done = true;
  // Some versions of glibc refuse thresholds above half of their heaps.
  if (!mallopt(M_MMAP_THRESHOLD, 1 << 30)) mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
#endif
}

/* ---------------------------------------------------------------------- */

PairTDN::PairTDN(LAMMPS *_lmp) : Pair(_lmp), impl(std::make_unique<Impl>(_lmp, this))
{
  single_enable = 0;
  restartinfo = 0;
  respa_enable = 0;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_AVAIL;
  comm_forward = tdn::GhostRows::COMM_FORWARD;    // pair hybrid reads them before pair_coeff
  comm_reverse = 3;                               // forces of one model of an ensemble
  keep_freed_pages();
}

/* ---------------------------------------------------------------------- */

PairTDN::~PairTDN()
{
  if (copymode) return;
  if (!allocated) return;
  memory->destroy(setflag);
  memory->destroy(cutsq);
}

/* pair_style tdn keyword value ... */

void PairTDN::settings(int narg, char **arg)
{
  impl->prepared = false;
  const std::vector<std::string> words(arg, arg + narg);
  guarded([&] { impl->options = tdn::Options(words); }, true);
  impl->evaluators.clear();    // device, precision or forces may have changed
}

/* file names of models come before elements, which have neither dot nor slash */

static int count_models(int narg, char **arg)
{
  int n = 0;
  while (n < narg && (n == 0 || strpbrk(arg[n], "./"))) n++;
  return n;
}

/* species of the named elements, in the model's order; check_elements() has checked them */

static std::vector<int> species_of(const tdn::ModelMetadata &model, int n, char **symbols)
{
  std::vector<int> species;
  for (int k = 0; k < model.n_elements(); k++)
    if (std::any_of(symbols, symbols + n,
                    [&](const char *symbol) { return model.species_of(symbol) == k; }))
      species.push_back(k);
  return species;
}

/* pair_coeff * * file.tdn.pt [more.tdn.pt ...] El1 El2 ...
   nothing changes before everything is known to work, since Python may catch an error */

void PairTDN::coeff(int narg, char **arg)
{
  impl->prepared = false;
  if (narg < 4)
    error->all(FLERR, "Pair style tdn: pair_coeff lacks the model file or its elements: write "
                      "pair_coeff * * file.tdn.pt element ... with one element per atom type");
  const int n_models = count_models(narg - 2, arg + 2);
  const int n_elements = narg - 2 - n_models;
  char **symbols = arg + 2 + n_models;
  std::vector<tdn::ModelArchive> archives;
  for (int k = 0; k < n_models; k++) archives.push_back(read_archive(arg[2 + k]));
  check_elements(archives.front(), n_elements, symbols);
  check_ensemble(archives);
  load_models(archives, species_of(archives.front().metadata(), n_elements, symbols));
  impl->archives = std::move(archives);
  map_species(n_elements, symbols);
  announce();
}

/* ---------------------------------------------------------------------- */

void PairTDN::allocate()
{
  allocated = 1;
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
  for (int i = 1; i < n; i++)
    for (int j = i; j < n; j++) setflag[i][j] = 0;
  map = new int[n];    // freed by the base class
}

/* the same text on every rank */

static void broadcast(std::string &text, MPI_Comm world)
{
  static constexpr long long PIECE = 1 << 30;    // MPI counts are int
  long long size = text.size();
  MPI_Bcast(&size, 1, MPI_LONG_LONG, 0, world);
  text.resize(size);
  for (long long begin = 0; begin < size; begin += PIECE)
    MPI_Bcast(&text[begin], static_cast<int>(std::min(PIECE, size - begin)), MPI_CHAR, 0, world);
}

/* rank 0 reads the file, every rank checks the same bytes */

tdn::ModelArchive PairTDN::read_archive(const char *name)
{
  std::string bytes, failure;
  if (comm->me == 0) {
    const std::string found = utils::get_potential_file_path(name);
    try {
      bytes = tdn::ModelArchive::read_bytes(found.empty() ? name : found);
    } catch (const tdn::Error &caught) {
      failure = caught.what();
    }
  }
  broadcast(failure, world);
  if (!failure.empty()) error->all(FLERR, "Pair style tdn: {}", failure);
  broadcast(bytes, world);
  std::optional<tdn::ModelArchive> archive;
  guarded([&] { archive.emplace(std::move(bytes), name); }, true);
  return std::move(*archive);
}

/* every name is an element of the model, or NULL if another style may handle the type */

void PairTDN::check_elements(const tdn::ModelArchive &archive, int n, char **names)
{
  const auto &model = archive.metadata();
  if (n != atom->ntypes)
    error->all(FLERR,
               "Pair style tdn: pair_coeff names {} elements but the simulation has {} atom types: "
               "name one element of {} (or NULL) per type",
               n, atom->ntypes, tdn::join(model.elements));
  int n_null = 0;
  for (int k = 0; k < n; k++) {
    if (strcmp(names[k], "NULL") == 0) n_null++;
    else if (model.species_of(names[k]) < 0)
      error->all(FLERR,
                 "Pair style tdn: model file '{}' was trained for {} but pair_coeff asks for "
                 "element {}: use a model that knows it",
                 archive.file(), tdn::join(model.elements), names[k]);
  }
  if (n_null > 0 && force->pair == this)
    error->all(FLERR,
               "Pair style tdn: pair_coeff leaves atom types without an element by NULL but there "
               "is no other pair style: name one element of {} per type or use pair_style hybrid",
               tdn::join(model.elements));
  if (n_null == n)
    error->all(FLERR,
               "Pair style tdn: pair_coeff names NULL for every atom type: name an element of {} "
               "for at least one",
               tdn::join(model.elements));
}

/* the models of an ensemble see the same edges and the same species */

void PairTDN::check_ensemble(const std::vector<tdn::ModelArchive> &archives)
{
  const auto &first = archives.front().metadata();
  for (const auto &archive : archives) {
    const auto &model = archive.metadata();
    if (model.elements != first.elements || model.cutoff != first.cutoff)
      error->all(
          FLERR,
          "Pair style tdn: model file '{}' (elements {}, cutoff {} angstrom) cannot be in an "
          "ensemble with '{}' (elements {}, cutoff {} angstrom): train both for the same "
          "elements, in one order, with the same cutoff",
          archive.file(), tdn::join(model.elements), model.cutoff, archives.front().file(),
          tdn::join(first.elements), first.cutoff);
  }
}

/* elements of pair_coeff -> model species; map_element2type() fills elements, map and setflag */

void PairTDN::map_species(int n, char **names)
{
  const auto &model = impl->metadata();
  if (!allocated) allocate();
  map_element2type(n, names);
  impl->species_of_type.assign(n + 1, -1);
  for (int type = 1; type <= n; type++)
    if (map[type] >= 0) impl->species_of_type[type] = model.species_of(elements[map[type]]);
}

/* ---------------------------------------------------------------------- */

void PairTDN::load_models(const std::vector<tdn::ModelArchive> &archives,
                          const std::vector<int> &species)
{
  auto &m = *impl;
  const tdn::NodeRank node(world);
  guarded(
      [&] {
        const auto device = tdn::choose_device(m.options.device, node.rank);
        std::vector<std::unique_ptr<tdn::Evaluator>> evaluators;
        auto forces = m.forces;
        for (const auto &archive : archives) {
          const auto &model = archive.metadata();
          forces = m.options.force_kind(model, archive.file());
          evaluators.push_back(
              tdn::make_evaluator(archive, {.device = device,
                                            .precision = m.options.model_precision(model),
                                            .engine = m.options.engine,
                                            .species = species,
                                            .n_threads = comm->nthreads}));
        }
        m.forces = forces;
        m.evaluators = std::move(evaluators);
        m.memory_limit = m.options.memory_limit();
        if (m.memory_limit == 0)
          m.memory_limit = tdn::available_memory(device) / node.sharing(tdn::n_devices(device));
      },
      true);
  m.cost.reset();
  m.closest.reset();
  m.plan_printed = m.warned_about_distance = false;
  m.exchange.set_wire(m.options.wire_kind());
}

/* log what runs, and warnings about it */

void PairTDN::announce()
{
  if (comm->me != 0) return;
  const auto &model = impl->metadata();
  static constexpr const char *KINDS[] = {"gradient", "direct", "correction"};
  const bool direct = impl->forces == tdn::ForceKind::DIRECT;
  const auto &evaluator = *impl->evaluators.front();
  utils::logmesg(
      lmp,
      "Pair style tdn {}: model {} ({}), cutoff {} angstrom, {} layers, {} forces, {}, device {}, "
      "engine {}{}\n",
      TDN_VERSION, model.model_name, tdn::join(model.elements), model.cutoff, model.n_layers(),
      KINDS[static_cast<int>(impl->forces)], tdn::name_of(evaluator.precision()),
      evaluator.device().str(), evaluator.name(),
      evaluator.library().empty() ? "" : " (" + evaluator.library() + ")");
  if (impl->archives.size() > 1)
    utils::logmesg(lmp, "Pair style tdn: ensemble of {} models, forces of {}\n",
                   impl->archives.size(), impl->options.averages() ? "their mean" : "the first");
  const std::string facts = tdn::weaknesses(model);
  if (!facts.empty()) error->warning(FLERR, "Pair style tdn: model {} {}", model.model_name, facts);
  if (direct)
    error->warning(FLERR, "Pair style tdn: direct forces are not the gradient of an energy, so the "
                          "total energy is not conserved");
  if (lmp->citeme && !model.citation.empty())
    lmp->citeme->add("pair style tdn, model " + model.model_name + ":\n\n" + model.citation +
                     "\n\n");
}
