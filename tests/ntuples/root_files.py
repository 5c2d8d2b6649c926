"""Write ROOT files with every kind of branch, by ROOT itself. Run as a script: importing ROOT takes a second.

The value of a branch is a formula of the entry number k, so that tests can compute what must be read.
"""

from __future__ import annotations

import sys
import warnings

CODE = r"""
#include <ROOT/RNTupleModel.hxx>
#include <ROOT/RNTupleWriter.hxx>
#include <ROOT/RField.hxx>
struct Pair { float x; int y; };

void write_trees(const char* path) {
  TFile file(path, "RECREATE");
  file.mkdir("mt_nominal")->cd();
  TTree tree("ntuple", "all kinds of branches");
  Char_t i1; UChar_t u1; Short_t i2; UShort_t u2; Int_t i4; UInt_t u4; Long64_t i8; ULong64_t u8;
  Float_t f4; Double_t f8; Bool_t flag; char text[20]; Double32_t d32; Float16_t f16;
  float fixed[3]; float matrix[2][3]; int n; float variable[10];
  std::vector<float> vf4; std::vector<double> vf8; std::vector<int> vi4; std::vector<Long64_t> vi8;
  std::vector<bool> vflag; std::vector<std::vector<float>> nested; std::string word; TLorentzVector p4; Pair pair;
  tree.Branch("i1", &i1, "i1/B"); tree.Branch("u1", &u1, "u1/b"); tree.Branch("i2", &i2); tree.Branch("u2", &u2);
  tree.Branch("i4", &i4); tree.Branch("u4", &u4); tree.Branch("i8", &i8); tree.Branch("u8", &u8);
  tree.Branch("f4", &f4); tree.Branch("f8", &f8); tree.Branch("flag", &flag); tree.Branch("text", text, "text/C");
  tree.Branch("d32", &d32, "d32/d"); tree.Branch("f16", &f16, "f16/f");
  tree.Branch("fixed", fixed, "fixed[3]/F"); tree.Branch("matrix", matrix, "matrix[2][3]/F");
  tree.Branch("n", &n, "n/I"); tree.Branch("variable", variable, "variable[n]/F");
  tree.Branch("vf4", &vf4); tree.Branch("vf8", &vf8); tree.Branch("vi4", &vi4); tree.Branch("vi8", &vi8);
  tree.Branch("vflag", &vflag); tree.Branch("nested", &nested); tree.Branch("word", &word); tree.Branch("p4", &p4);
  tree.Branch("pair", &pair, "x/F:y/I");
  for (int k = 0; k < 250; k++) {
    i1 = k % 100 - 50; u1 = k; i2 = -k; u2 = 65000 + k; i4 = -100000 * k; u4 = 4000000000u + k;
    i8 = 9007199254740993LL + 2 * k; u8 = 18446744073709551000ULL + k; f4 = 0.5f * k; f8 = 0.1 * k; flag = k % 2;
    sprintf(text, "event %d", k); d32 = 0.25 * k; f16 = k;
    for (int j = 0; j < 3; j++) fixed[j] = k + j;
    for (int j = 0; j < 6; j++) matrix[j / 3][j % 3] = j;
    n = k % 4; for (int j = 0; j < n; j++) variable[j] = k - j;
    vf4.assign(k % 3, 0.5f * k); vf8.assign(k % 3, 0.1 * k); vi4.assign(k % 3, -k);
    vi8.assign(k % 2, 9007199254740993LL + k); vflag.assign(k % 3, k % 2); nested.assign(2, vf4);
    word = "w"; p4.SetPtEtaPhiM(k, 0, 0, 1); pair.x = k; pair.y = -k;
    tree.Fill();
    if (k == 99) tree.FlushBaskets();
  }
  tree.Write();
  file.cd();
  TH1F histogram("histogram", "", 10, 0, 1); histogram.Write();
  TTree empty("empty", ""); empty.Branch("x", &f4); empty.Branch("v", &vf4); empty.Write();
  TTree twice("twice", ""); twice.Branch("x", &f4); twice.Branch("y", &f8); twice.Branch("x", &f8);
  f4 = 1; f8 = 2; twice.Fill(); twice.Write();
  file.Close();
}

void write_rntuple(const char* path) {
  TFile file(path, "RECREATE");
  auto folder = file.mkdir("mt_nominal");
  auto model = ROOT::RNTupleModel::Create();
  auto i1 = model->MakeField<std::int8_t>("i1"); auto i4 = model->MakeField<int>("i4");
  auto u8 = model->MakeField<std::uint64_t>("u8"); auto i8 = model->MakeField<std::int64_t>("i8");
  auto f4 = model->MakeField<float>("f4"); auto f8 = model->MakeField<double>("f8");
  auto flag = model->MakeField<bool>("flag");
  auto word = model->MakeField<std::string>("word");
  auto vf4 = model->MakeField<std::vector<float>>("vf4"); auto vi4 = model->MakeField<ROOT::RVec<int>>("vi4");
  auto vflag = model->MakeField<std::vector<bool>>("vflag");
  auto fixed = model->MakeField<std::array<float, 3>>("fixed");
  auto nested = model->MakeField<std::vector<std::vector<float>>>("nested");
  auto writer = ROOT::RNTupleWriter::Append(std::move(model), "ntuple", *folder);
  for (int k = 0; k < 250; k++) {
    *i1 = k % 100 - 50; *i4 = -100000 * k; *u8 = 18446744073709551000ULL + k; *i8 = 9007199254740993LL + 2 * k;
    *f4 = 0.5f * k; *f8 = 0.1 * k; *flag = k % 2; *word = "w"; vf4->assign(k % 3, 0.5f * k); vi4->assign(k % 3, -k);
    vflag->assign(k % 3, k % 2);
    for (int j = 0; j < 3; j++) (*fixed)[j] = k + j;
    nested->assign(2, *vf4);
    writer->Fill();
    if (k == 99 || k == 199) writer->CommitCluster();
  }
}

struct Vertex { float z; short n; };
struct Jet { float pt, eta; int id; std::vector<float> constituents; };

// In the manner of NanoAOD: a collection of jets, with its fields once more as vectors (projections).
void write_collections(const char* path) {
  TFile file(path, "RECREATE");
  auto model = ROOT::RNTupleModel::CreateBare();
  std::vector<std::unique_ptr<ROOT::RFieldBase>> of_jet;
  of_jet.emplace_back(std::make_unique<ROOT::RField<float>>("pt"));
  of_jet.emplace_back(std::make_unique<ROOT::RField<float>>("eta"));
  of_jet.emplace_back(std::make_unique<ROOT::RField<int>>("id"));
  of_jet.emplace_back(std::make_unique<ROOT::RField<std::vector<float>>>("constituents"));
  auto jet = std::make_unique<ROOT::RRecordField>("_0", std::move(of_jet));
  model->AddField(ROOT::RVectorField::CreateUntyped("Jet", std::move(jet)));
  model->AddField(std::make_unique<ROOT::RField<Vertex>>("PV"));
  model->AddField(std::make_unique<ROOT::RField<std::vector<Vertex>>>("SV"));
  model->AddField(std::make_unique<ROOT::RField<std::pair<float, int>>>("pair"));
  model->AddField(std::make_unique<ROOT::RField<std::optional<float>>>("optional"));
  model->AddField(std::make_unique<ROOT::RField<std::bitset<10>>>("bits"));
  model->AddField(std::make_unique<ROOT::RField<std::set<int>>>("set"));
  model->AddField(std::make_unique<ROOT::RField<char>>("letter"));
  auto half = std::make_unique<ROOT::RField<double>>("half");
  half->SetColumnRepresentatives({{ROOT::ENTupleColumnType::kReal16}});
  model->AddField(std::move(half));
  model->AddField(ROOT::RFieldBase::Create("doubles", "std::vector<Double32_t>").Unwrap());
  model->AddField(std::make_unique<ROOT::RStreamerField>("streamed", "TLorentzVector"));
  model->AddProjectedField(std::make_unique<ROOT::RField<ROOT::RVec<float>>>("Jet_pt"), [](const std::string &field) {
    return std::string(field == "Jet_pt" ? "Jet" : "Jet._0.pt");
  });
  model->AddProjectedField(std::make_unique<ROOT::RField<ROOT::RNTupleCardinality<std::uint32_t>>>("nJet"),
                           [](const std::string &) { return std::string("Jet"); });
  auto writer = ROOT::RNTupleWriter::Append(std::move(model), "Events", file);
  auto entry = writer->CreateEntry();
  auto jets = std::static_pointer_cast<std::vector<Jet>>(entry->GetPtr<void>("Jet"));
  auto pv = entry->GetPtr<Vertex>("PV"); auto sv = entry->GetPtr<std::vector<Vertex>>("SV");
  auto pair = entry->GetPtr<std::pair<float, int>>("pair"); auto bits = entry->GetPtr<std::bitset<10>>("bits");
  auto set = entry->GetPtr<std::set<int>>("set"); auto values = entry->GetPtr<double>("half");
  auto doubles = entry->GetPtr<std::vector<double>>("doubles");
  for (int k = 0; k < 250; k++) {
    jets->clear(); sv->clear(); set->clear();
    for (int j = 0; j < k % 3; j++) jets->push_back({k + 0.5f * j, 0.25f * j - k, k + j, std::vector<float>(j, k)});
    for (int j = 0; j < k % 2; j++) sv->push_back({-k * 0.5f, short(k)});
    for (int j = 0; j < k % 4; j++) set->insert(k + j);
    *pv = {0.5f * k, short(-k)}; *pair = {2.f * k, 3 * k}; *bits = k;
    *values = 0.25 * k; doubles->assign(k % 2, 0.5 * k);
    writer->Fill(*entry);
    if (k == 99 || k == 199) writer->CommitCluster();
  }
}
"""

if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # ROOT's wheel says that it is an alpha release
        import ROOT
    folder = sys.argv[1]
    ROOT.gInterpreter.Declare(CODE)
    ROOT.write_trees(f"{folder}/trees.root")
    ROOT.write_rntuple(f"{folder}/rntuple.root")
    ROOT.write_collections(f"{folder}/collections.root")
